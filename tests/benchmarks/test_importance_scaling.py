"""The made-up group of ``benchmarks.importance.scaling``, and what follows from a part of its features."""

from benchmarks.importance.scaling import Scaling, Timed, page, wide_manifest
from benchmarks.quality_result import Machine
from lattice_model.importance.features import features_of


def test_every_feature_is_in_every_domain() -> None:
    manifest = wide_manifest(50)
    features = features_of(manifest)
    assert len(features) == 50
    assert {feature.domains for feature in features} == {manifest.domains}
    assert sum(len(objective.domains) for objective in manifest.objectives) == 30
    assert len(manifest.heads()) == 3


def test_what_all_features_take_follows_from_some() -> None:
    one = Timed(executors=1, measured=40, seconds=26.0, begin=10.0, piece=4.0)
    two = Timed(executors=2, measured=40, seconds=18.0, begin=10.0, piece=2.0)
    result = Scaling(
        features=80, tasks=30, rows=100, mflops=1.0, command="it", machine=Machine.here(), timed=(one, two)
    )
    # Ten pieces: the first is there when the beginning ends, nine follow.
    assert result.whole(one) == 10 + 9 * 4
    assert result.whole(two) == 10 + 9 * 2
    assert result.whole(two, 4) == 10 + 9 * 1
    assert "2 executors take 0.50 of the time of 1 a piece, 0.61 for all features" in page(result)
