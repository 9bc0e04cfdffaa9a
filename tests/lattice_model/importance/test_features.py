"""What counts as one feature."""

import pytest

from lattice_model.importance.features import Feature, features_of
from schemas.errors import LatticeError
from tests.lattice_model.factories import make_manifest

MANIFEST = make_manifest(categorical=2, dense=3, sequences=1)


def test_every_feature_is_there_once_by_name() -> None:
    found = features_of(MANIFEST)
    assert [(part.name, part.kind) for part in found] == [
        ("events_0", "sequence"), ("id_0", "categorical"), ("id_1", "categorical"),
        ("number_0", "dense"), ("number_1", "dense"), ("number_2", "dense"),
    ]  # fmt: skip
    assert found[-1] == Feature(name="number_2", kind="dense", members=("number_2",), domains=("app", "mail"))


def test_a_group_stands_for_its_members() -> None:
    found = features_of(MANIFEST, {"late": ["number_[12]"], "both": ["id_1", "events_*"]})
    assert [(part.name, part.kind, part.members) for part in found] == [
        ("both", "group", ("id_1", "events_0")),
        ("id_0", "categorical", ("id_0",)),
        ("late", "group", ("number_1", "number_2")),
        ("number_0", "dense", ("number_0",)),
    ]
    assert found[2].domains == ("web", "app", "mail")


@pytest.mark.parametrize(
    ("together", "says"),
    [
        ({"id_0": ["id_1"]}, "has that name"),
        ({"new": ["id_7"]}, "No feature is called 'id_7'"),
        ({"new": ["id_*"], "other": ["number_0", "id_1"]}, "'id_1' is in the group 'new' too"),
    ],
)
def test_groups_that_make_no_sense(together: dict[str, list[str]], says: str) -> None:
    with pytest.raises(LatticeError, match=says.replace("*", r"\*")):
        features_of(MANIFEST, together)
