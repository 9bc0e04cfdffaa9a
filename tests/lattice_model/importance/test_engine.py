"""The engine's numbers are those of the plain way, for every model; and do not depend on what is asked together."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from lattice_model.batch import Batch
from lattice_model.importance.config import ImportanceConfig
from lattice_model.importance.engine import Engine, Importance
from lattice_model.importance.features import features_of
from lattice_model.importance.rows import Rows
from lattice_model.importance.tasks import left_out
from lattice_model.loading.rows import Loaded
from lattice_model.models import MODELS, build, configure
from lattice_model.network.model import Model
from schemas.manifest import TrainingManifest
from tests.lattice_model.factories import make_batch, make_manifest
from tests.lattice_model.importance.naive import naive

MANIFEST = make_manifest(sequences=2)
TOGETHER = {"pair": ["id_0", "number_1", "number_2", "events_1"]}
CONFIG = ImportanceConfig(repeats=2, seed=5, negligible=0.0)


def made(name: str, manifest: TrainingManifest = MANIFEST, dense_tokens: int | None = 4, **settings: object) -> Model:
    """In evaluation mode, with every parameter away from its special start."""
    torch.manual_seed(1)
    given = {"dim": 8, "dense_tokens": dense_tokens, "task_width": 8, **settings}
    hyper = MODELS[name].hyper.model_validate(given)
    network = build(configure(hyper, manifest, "validation"))
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return network.eval()


def loaded(batch: Batch, first: int = 0) -> Loaded:
    """With impressions numbered from ``first`` and some twenty users."""
    users = np.array([f"user {i}" for i in np.random.default_rng(first).integers(0, 20, batch.size)])
    return Loaded(batch, {"impression_id": first + np.arange(batch.size), "user_id": users})


def by_task(found: list[Importance], feature: str) -> dict[tuple[str, str], float]:
    return {(part.domain, part.objective): part.mean for part in found if part.feature == feature}


@pytest.mark.parametrize("dense_tokens", [4, None], ids=["dense features mixed", "a token each"])
@pytest.mark.parametrize("name", MODELS)
def test_the_numbers_are_those_of_the_whole_pass(name: str, dense_tokens: int | None) -> None:
    network = made(name, dense_tokens=dense_tokens)
    check_against_the_whole_pass(network, tolerance=1e-4 if name == "afn" else 2e-6)


def test_so_they_are_where_domains_have_weights_of_their_own() -> None:
    check_against_the_whole_pass(made("lattice", towers="domain", untied_layers=[0], event_model="mean"), 2e-6)


def check_against_the_whole_pass(network: Model, tolerance: float) -> None:
    """AFN needs a large tolerance: it takes logarithms of tokens, which magnify the rounding of those near zero."""
    batch, features = make_batch(MANIFEST, 400, seed=3), features_of(MANIFEST, TOGETHER)
    found = Engine(network, Rows.read([loaded(batch)], MANIFEST), CONFIG).measure(features)
    assert {part.kind for part in found} == {"categorical", "dense", "sequence", "group"}
    for feature in features:
        expected = naive(network, MANIFEST, batch, feature, seed=5, repeats=2)
        ours = by_task(found, feature.name)
        assert ours.keys() == expected.keys()
        for task, value in expected.items():
            assert ours[task] == pytest.approx(value, abs=tolerance), (feature.name, task)
    assert max(abs(part.mean) for part in found) > 1e-3


def test_nothing_depends_on_what_is_asked_together_or_on_the_order_of_reading() -> None:
    network, batches = made("lattice"), [make_batch(MANIFEST, size, seed=size) for size in (150, 50, 200)]
    parts = [loaded(batch, first) for batch, first in zip(batches, (250, 0, 50), strict=True)]
    features = features_of(MANIFEST)
    together = Engine(network, Rows.read(parts, MANIFEST), CONFIG).measure(features)
    turned = Engine(network, Rows.read(parts[::-1], MANIFEST), CONFIG)
    alone = [part for feature in features[::-1] for part in turned.measure([feature])]
    assert sorted((part.feature, part.domain, part.objective) for part in alone) == [
        (part.feature, part.domain, part.objective)
        for part in sorted(together, key=lambda p: (p.feature, p.domain, p.objective))
    ]
    numbers = {(part.feature, part.domain, part.objective): (part.mean, part.standard_error) for part in alone}
    for part in together:
        expected = numbers[part.feature, part.domain, part.objective]
        assert (part.mean, part.standard_error) == pytest.approx(expected, abs=1e-7)


def test_a_domain_that_lacks_a_feature_and_a_feature_that_is_one_value() -> None:
    """The last dense feature lacks the first domain; a constant feature has the same values however permuted."""
    batch = make_batch(MANIFEST, 300, seed=1)
    batch = replace(batch, dense_BF=batch.dense_BF.index_fill(1, torch.tensor([2]), 7.0))
    found = Engine(made("lattice"), Rows.read([loaded(batch)], MANIFEST), CONFIG).measure(features_of(MANIFEST))
    for part in found:
        lacking = part.feature in ("number_5", "id_4") and part.domain == "web"
        nothing = lacking or part.feature == "number_2"
        assert (part.mean == 0.0 and part.standard_error == 0.0) == nothing, part
        assert part.repeats == 2


def test_what_is_surely_negligible_in_a_domain_takes_a_sample_of_its_rows() -> None:
    network = made("lattice", untied_layers=[0])
    with torch.no_grad():
        hidden_FIw = network.get_parameter("preprocessor.dense.hidden_FIw")
        hidden_FIw[1] = 0.0  # number_1 reaches nothing
        hidden_FIw[3] *= 1e-4
    rows = Rows.read([loaded(make_batch(MANIFEST, 1500, seed=1))], MANIFEST)
    found = Engine(network, rows, CONFIG.model_copy(update={"repeats": 4, "negligible": 1e-3})).measure(
        features_of(MANIFEST)
    )
    everything = Engine(network, rows, CONFIG.model_copy(update={"repeats": 1})).measure(features_of(MANIFEST))
    for part, whole in zip(found, everything, strict=True):
        taken = part.rows / whole.rows
        if part.feature in ("number_1", "number_3"):
            assert part.repeats == 1
            assert taken == pytest.approx(1 / 2, abs=0.1), "500 rows a domain, some 100 of them of the rarer label"
            assert abs(part.mean) < 1e-3
        elif part.feature in ("id_0", "events_0"):
            assert (part.repeats, taken) == (4, 1.0)


def test_a_feature_goes_on_only_in_the_domains_where_it_may_be_worth_something() -> None:
    """number_1 differs between rows in one domain alone."""
    batch = make_batch(MANIFEST, 1500, seed=1)
    dense_BF = batch.dense_BF.clone()
    dense_BF[batch.domain_B != 1, 1] = 0.5
    rows = Rows.read([loaded(replace(batch, dense_BF=dense_BF))], MANIFEST)
    config = CONFIG.model_copy(update={"negligible": 1e-4})
    found = Engine(made("lattice"), rows, config).measure(features_of(MANIFEST))
    of_it = [part for part in found if part.feature == "number_1"]
    assert {(part.domain, part.repeats) for part in of_it} == {("web", 1), ("app", 2), ("mail", 1)}
    assert all(part.mean == part.standard_error == 0.0 for part in of_it if part.domain != "app")


def test_a_sample_and_the_other_rows_make_up_a_permutation() -> None:
    rows = Rows.read([loaded(make_batch(MANIFEST, 1500, seed=1))], MANIFEST)
    network = made("dlrm")
    whole = Engine(network, rows, CONFIG).measure(features_of(MANIFEST))
    parts = Engine(network, rows, CONFIG.model_copy(update={"negligible": 1e-30})).measure(features_of(MANIFEST))
    for part, expected in zip(parts, whole, strict=True):
        if part.standard_error > 0:
            assert (part.rows, part.repeats) == (expected.rows, expected.repeats)
            assert part.mean == pytest.approx(expected.mean, abs=1e-7)
            assert part.standard_error == pytest.approx(expected.standard_error, abs=1e-7)


def test_the_network_is_left_as_it_is() -> None:
    network, batch = made("bst"), make_batch(MANIFEST, 100, seed=2)
    before = network(batch)
    engine = Engine(network, Rows.read([loaded(batch)], MANIFEST), CONFIG)
    engine.measure(features_of(MANIFEST)[:2])
    assert torch.equal(network(batch), before)


def test_a_portfolio_without_two_kinds_of_labels_is_no_task() -> None:
    batch = make_batch(MANIFEST, 200, seed=2)
    labels_BO = batch.labels_BO.clone()
    labels_BO[batch.domain_B == 1, 0] = 0.0
    rows = Rows.read([loaded(replace(batch, labels_BO=labels_BO))], MANIFEST)
    assert left_out(rows) == (("app", "click"),)
    found = Engine(made("dlrm"), rows, CONFIG).measure(features_of(MANIFEST)[:1])
    assert {(part.domain, part.objective) for part in found} == {
        ("web", "click"), ("mail", "click"), ("web", "buy"), ("app", "buy"), ("mail", "buy"), ("mail", "redeem"),
    }  # fmt: skip
    labels = batch.labels_BO.numpy()
    first = next(part for part in found if (part.domain, part.objective) == ("mail", "redeem"))
    assert first.rows == (~np.isnan(labels[:, 2])).sum()
