"""When a finished stage counts as finished: same input, code and configuration."""

from dataclasses import replace
from pathlib import Path

import pytest

from jobs import target as module
from jobs.target import Target
from tests.spaces.video import write_video


@pytest.fixture
def target(tmp_path: Path) -> Target:
    space = write_video(tmp_path, seed=3, users=4, shown_a_day=1)
    return Target.parse(str(space), str(tmp_path / "warehouse"), "all", "half")


def test_the_same_run_has_the_same_fingerprints(target: Target) -> None:
    assert replace(target).fingerprints == target.fingerprints
    assert len(set(target.fingerprints.values())) == len(target.fingerprints)


def test_another_sample_or_space_makes_every_stage_stale(target: Target) -> None:
    space = target.space.model_copy(update={"time_zone": "UTC"})
    for other in (replace(target, sample=None), replace(target, space=space)):
        assert not set(other.fingerprints.values()) & set(target.fingerprints.values())


def test_a_changed_file_makes_every_stage_stale(target: Target) -> None:
    before = target.fingerprints
    with (target.folder / "viewers.csv").open("a") as file:
        file.write("v99,DE\n")
    assert not set(replace(target).fingerprints.values()) & set(before.values())


def test_changed_code_makes_every_stage_stale(target: Target, monkeypatch: pytest.MonkeyPatch) -> None:
    before = target.fingerprints
    monkeypatch.setattr(module, "code_fingerprint", lambda *_: "other code")
    assert not set(replace(target).fingerprints.values()) & set(before.values())


def test_the_warehouse_does_not_matter(target: Target) -> None:
    assert replace(target, warehouse="elsewhere").fingerprints == target.fingerprints
