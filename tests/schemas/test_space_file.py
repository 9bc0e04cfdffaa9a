"""Mistakes in a space file are answered with file, line, key, value and what is allowed."""

from pathlib import Path

import pytest
import yaml

from schemas.errors import LatticeError
from schemas.space import ModelSpace
from schemas.space_file import load_space, shipped_spaces
from tests.pipelines.space import declaration

SHIPPED = shipped_spaces()["complete_journey"].read_text()


def test_the_shipped_spaces_are_valid() -> None:
    for name in shipped_spaces():
        assert load_space(name).name == name


def test_any_space_can_be_written_and_read(tmp_path: Path) -> None:
    path = tmp_path / "small.yaml"
    path.write_text(yaml.safe_dump(declaration()))
    assert load_space(path) == ModelSpace.model_validate(declaration())


def test_a_part_may_be_merged_into_another(tmp_path: Path) -> None:
    declared = declaration()
    path = tmp_path / "small.yaml"
    search = "  search:\n    <<: *feed\n    description: other\n"
    text = yaml.safe_dump({key: value for key, value in declared.items() if key != "domains"})
    path.write_text(
        f"{text}domains:\n  feed: &feed\n    description: one\n    columns: {{rank: long, query: string}}\n{search}"
    )
    domains = load_space(path).domains
    assert domains["search"] == domains["feed"].model_copy(update={"description": "other"})
    path.write_text(path.read_text().replace("rank: long", "rank: lonk"))
    with pytest.raises(LatticeError, match=r"(?s)columns.rank.*lonk"):
        load_space(path)


def test_a_space_is_frozen() -> None:
    space = load_space("complete_journey")
    with pytest.raises(ValueError, match="frozen"):
        space.name = "other"  # type: ignore[misc]


def line_of(text: str, part: str) -> int:
    return text[: text.index(part)].count("\n") + 1


@pytest.mark.parametrize(
    ("old", "new", "key", "says"),
    [
        ("title: The", "titel: The", "titel", "Allowed keys: attributes, domains"),
        ("gap: true", "gapp: true", "features.history.pair.gapp", "Allowed keys: cost, count"),
        ("windows: [1d, 7d, 28d]", "windows: [7d, 1d]", "objectives.purchase", "7d comes before 1d"),
        ("windows: [1d, 7d, 28d]", "windows: [-1d]", "objectives.purchase.windows.0", "'-1d'"),
        ("windows: [1d, 7d, 28d]", "windows: [1x]", "objectives.purchase.windows.0", "such as 7d"),
        ("by: impressions", "by: rows", "samples.demo.by", "'users' or 'impressions'"),
        ("gap: true", "gap: perhaps", "features.history.pair.gap", "boolean"),
        ("gap: true", "gap: true\n      measures: [gap, count_9d]", "features.history.pair.measures.1", "count_9d"),
        ("windows: [1d, 7d, 28d]\n    weights", "windows: [1d, 7d, 28d]\n    pool: 2\n    weights",
         "groups.all.pool", "less than or equal to 1"),
        ("{column: campaign,", "{column: campain,", "features.categorical.campaign.column", "no column 'campain'"),
        ("domains: [display, mailer]\n    match", "domains: [displai]\n    match", "objectives.basket.domains.0",
         "display"),
        ("time_zone: America/New_York", "time_zone: Mars", "time_zone", "IANA"),
        ("windows: [1d, 7d, 28d]\n    weights", "windows: [1d, 28d]\n    weights", "groups.all",
         "3 values for 2 windows"),
        ("events: trips", "events: tripps", "features.history.user_trips.events", "trips"),
        ("denominator: pair_gap", "denominator: pair_gab", "features.ratio.pair_overdue.denominator", "pair_gap"),
        ("    hour: {", "    products: {", "features.dense.products", "there already"),
        ("    hour: {", "    weight: {", "features.categorical.weight", "there already"),
        ("windows: [1d, 7d, 28d]\n    weights", "windows: [1d, 7d, 28d]\n    negatives: {home: 0.5}\n    weights",
         "groups.all.negatives", "unknown domain 'home'"),
        ("windows: [1d, 7d, 28d]\n    weights", "windows: [1d, 7d, 28d]\n    negatives: {display: 2}\n    weights",
         "groups.all.negatives.display", "less than or equal to 1"),
        ("    store: string\n      location: string\n      products: long\n      locations: long\n      twin: long\n\n",
         "    store: long\n      location: string\n      products: long\n      locations: long\n      twin: long\n\n",
         "domains.mailer.columns.store", "give it one type"),
        ("validation: {from: 2017-08-01, to: 2017-08-31}", "validation: {from: 2017-08-01, to: 2017-12-31}", "splits",
         "must end before"),
        ("observed: {from: 2017-01-01T05:00:00Z", "observed: {from: 2019-01-01T05:00:00Z", "objectives.basket.observed",
         "must lie before"),
        ("observed: {from: 2017-01-01T05:00:00Z", "observed: {from: 2017-01-01T05:00:00", "objectives.basket.observed",
         "needs a zone"),
        ("splits:\n", "quality: {columns: {domains.mailer.store: {min: 1}}}\nsplits:\n",
         "quality.columns.domains.mailer.store", "no min and no max"),
        ("splits:\n", "quality: {columns: {domains.mailer.shop: {min: 1}}}\nsplits:\n",
         "quality.columns.domains.mailer.shop", "unknown column"),
        ("splits:\n", "quality: {columns: {domains.mailer.products: {values: [a, b]}}}\nsplits:\n",
         "quality.columns.domains.mailer.products.values", "which one of these is not"),
        ("splits:\n", "quality: {lacking: {shop: 0.1}}\nsplits:\n", "quality.lacking.shop",
         "unknown table of attributes"),
    ],
)  # fmt: skip
def test_a_mistake_names_line_key_and_remedy(tmp_path: Path, old: str, new: str, key: str, says: str) -> None:
    assert old in SHIPPED
    path = tmp_path / "space.yaml"
    path.write_text(SHIPPED.replace(old, new, 1))
    with pytest.raises(LatticeError) as caught:
        load_space(path)
    error = caught.value
    assert error.place.startswith(f"{path}, line ")
    assert error.place.endswith(f", {key}")
    assert says in error.problem + error.remedy
    line = path.read_text().splitlines()[int(error.place.split("line ")[1].split(",")[0]) - 1]
    last = key.split(".")[-1]
    assert last.isdigit() or last in line


def test_a_missing_key_is_named(tmp_path: Path) -> None:
    tree = declaration()
    del tree["splits"]["test"]
    path = tmp_path / "space.yaml"
    path.write_text(yaml.safe_dump(tree))
    with pytest.raises(LatticeError, match=r"splits\n  The key 'test' is missing"):
        load_space(path)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("a: [1", "Not valid YAML"),
        ("name: x\nname: y", "given twice"),
        ("", "Not valid"),
        ("- 1", "Not valid"),
        ("!!python/object/apply:os.system ['true']", "Not valid YAML"),
    ],
)
def test_what_is_no_space_at_all(tmp_path: Path, text: str, says: str) -> None:
    path = tmp_path / "space.yaml"
    path.write_text(text)
    with pytest.raises(LatticeError, match=says):
        load_space(path)


def test_a_missing_file_names_the_shipped_spaces() -> None:
    with pytest.raises(LatticeError, match="complete_journey"):
        load_space("nowhere.yaml")


def test_an_objective_that_no_domain_has(tmp_path: Path) -> None:
    tree = declaration()
    tree["objectives"]["buy"]["domains"] = []
    path = tmp_path / "space.yaml"
    path.write_text(yaml.safe_dump(tree))
    with pytest.raises(LatticeError, match=r"objectives\.buy\.domains"):
        load_space(path)


def test_a_sum_and_a_count_that_would_share_a_column(tmp_path: Path) -> None:
    tree = declaration()
    tree["events"]["views"]["columns"]["count"] = "long"
    tree["features"]["history"]["pair"]["sums"] = ["seconds", "count"]
    path = tmp_path / "space.yaml"
    path.write_text(yaml.safe_dump(tree))
    with pytest.raises(LatticeError, match="'pair_count_1d' is there already"):
        load_space(path)
