"""What the report of a selection says, by numbers worked out by hand, and how large it gets."""

import base64
import gzip
import io
import json
import re
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from pipelines.report.selection.facts import Facts
from pipelines.report.selection.page import selection_csv, selection_page
from pipelines.report.selection.tables import REASONS, costs_table, reasons_table, tasks_table
from pipelines.report.selection.task_panels import pairs_panel
from tests.pipelines.report.selections import facts


def packed(page: str, name: str) -> str:
    found = re.search(rf'<script type="text/plain" id="{name}">([^<]*)</script>', page)
    assert found is not None
    return gzip.decompress(base64.b64decode(found[1])).decode()


@pytest.fixture(scope="module")
def small() -> Facts:
    return facts(30, 5)


def test_what_is_kept_is_the_chosen_share_of_the_positive_importances(small: Facts) -> None:
    chosen = set(small.selection.chosen)
    csv = pd.read_csv(io.StringIO(selection_csv(small)))
    for row in tasks_table(small).rows:
        task = row[0].replace(" · ", "/")
        worth = csv[task].clip(lower=0)
        kept = worth[csv["feature"].isin(chosen)].sum() / worth.sum()
        assert float(row[1].rstrip("%")) == pytest.approx(100 * kept, rel=1e-2)
        lost = csv[~csv["chosen"]].sort_values(task).iloc[-1]
        assert row[4] == lost["feature"]
    assert (np.diff(small.kept, axis=0) >= 0).all()
    assert small.kept[-1] == pytest.approx(np.ones(5), abs=0.02)


def test_every_feature_has_one_reason(small: Facts) -> None:
    rows = reasons_table(small).rows
    assert sum(int(row[2]) for row in rows) == 30
    assert sum(int(row[2]) for row in rows if row[0] == "chosen") == 7
    assert {row[1] for row in rows} <= set(REASONS.values())


def test_costs_are_sums_of_what_is_declared() -> None:
    # 30 features cost 1, 2, 3, 1, ... each, and 4 of storage; 6 ids of 8 bytes, 18 numbers of 4, 6 sequences of 612.
    rows = {row[0]: row[1:] for row in costs_table(facts(30, 5, target=30, noise=False)).rows}
    assert rows["Compute, as declared"][0] == "60"
    assert rows["Storage, as declared"][0] == "120"
    assert rows["Bytes a row, before compression"][0] == f"{6 * 8 + 18 * 4 + 6 * 612:,}"
    none = costs_table(facts(30, 5, costs=False))
    assert [row[0] for row in none.rows] == ["Features", "Bytes a row, before compression"]
    assert "No feature of the space declares a cost" in none.note


def test_the_csv_has_every_feature_once_the_chosen_first(small: Facts) -> None:
    csv = pd.read_csv(io.StringIO(selection_csv(small)))
    assert list(csv["feature"][:7]) == list(small.selection.chosen)
    assert set(csv["feature"]) == set(small.names)
    assert csv["still_computed"].sum() == 7 + len(small.selection.pinned)


def test_with_one_task_there_are_no_pairs() -> None:
    page = selection_page(facts(30, 1), "s.csv")
    assert "Pairs of tasks" not in page
    assert len(pairs_panel(facts(30, 3)).charts) == 3


def test_thousands_of_features_are_listed_and_not_drawn() -> None:
    # As exact numbers: with noise every two of them are compared, which takes its time.
    shown = facts(12_000, 30, noise=False)
    page = selection_page(shown, "selection-3.csv")
    assert len(page.encode()) < 2_500_000
    data: dict[str, Any] = json.loads(packed(page, "page-data"))
    assert len(data["features"]) == 12_000
    assert len(json.dumps(data["figures"])) < 250_000
    assert "12,000 features" in page


def test_the_same_facts_give_the_same_bytes(small: Facts) -> None:
    assert selection_page(small, "s.csv") == selection_page(facts(30, 5), "s.csv")


def test_a_selection_without_anything_useful_is_still_shown() -> None:
    shown = facts(30, 5, target=1)
    worthless = replace(shown.found, means=np.zeros_like(shown.found.means))
    assert "0%" in selection_page(replace(shown, found=worthless), "s.csv")
