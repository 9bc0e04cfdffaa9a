"""The report as a document; what a browser makes of it is in ``test_browser``."""

import json
import re
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from pipelines.report import render
from pipelines.report.render import render_report
from schemas.errors import LatticeError
from schemas.report import ReportStatistics
from tests.pipelines.report import samples

NOTHING = ReportStatistics(
    windows=(), window_days=(), splits=(), impressions=(), feedback=(), weeks=(), labels=(), zipper=(), evaluation=(),
    delays=(),
)  # fmt: skip


class Document(HTMLParser):
    """What the tests look at: ids, headings, tables as lists of rows, plots, resources and the text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.ids: list[str] = []
        self.headings: list[str] = []
        self.tables: dict[str, list[list[str]]] = {}
        self.plots: dict[str, str] = {}
        self.resources: list[str] = []
        self.unscoped = 0
        self.text = ""
        self._open: list[str] = []
        self._rows: list[list[str]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self._open.append(tag)
        self.ids += [value for name, value in attrs if name == "id" and value]
        self.resources += [value for name, value in attrs if name in ("src", "href", "data") and value]
        self.unscoped += tag == "th" and "scope" not in given
        if given.get("class") == "plot":
            self.plots[str(given["id"])] = str(given["aria-label"])
        if tag in ("h1", "h2", "h3", "h4"):
            self.headings.append(tag)
        elif tag == "tr":
            self._rows.append([])
        elif tag in ("td", "th"):
            self._rows[-1].append("")

    def handle_endtag(self, tag: str) -> None:
        while self._open and self._open.pop() != tag:
            pass

    def handle_data(self, data: str) -> None:
        tag = self._open[-1] if self._open else ""
        if tag in ("script", "style"):
            return
        self.text += data
        if tag == "caption":
            self._rows = []
            self.tables[data] = self._rows
        elif tag in ("td", "th"):
            self._rows[-1][-1] += data


def _render(
    tmp_path: Path,
    statistics: ReportStatistics | None = None,
    log: dict[str, Any] | None = None,
    metrics: dict[str, Any] | None = None,
    title: str = "The Complete Journey",
) -> str:
    path = tmp_path / "reports" / "report.html"
    render_report(statistics or samples.statistics(), log, metrics, samples.run_info(title), path)
    assert [found.name for found in path.parent.iterdir()] == ["report.html"]
    return path.read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> str:
    return _render(tmp_path_factory.mktemp("page"), log=samples.training_log(), metrics=samples.metrics())


@pytest.fixture(scope="module")
def document(page: str) -> Document:
    return Document(page)


def test_the_same_run_gives_the_same_bytes(page: str, tmp_path: Path) -> None:
    assert _render(tmp_path, log=samples.training_log(), metrics=samples.metrics()) == page


def test_nothing_is_loaded_from_elsewhere(document: Document, page: str) -> None:
    assert [resource for resource in document.resources if not resource.startswith(("#", "data:"))] == []
    assert "default-src 'none'" in page


def test_headings_descend_step_by_step_and_ids_are_unique(document: Document) -> None:
    assert document.headings[0] == "h1"
    assert document.headings.count("h1") == 1
    levels = [int(heading[1]) for heading in document.headings]
    assert all(after - before <= 1 for before, after in pairwise(levels))
    assert len(set(document.ids)) == len(document.ids)


def test_tables_have_captions_and_scopes(document: Document) -> None:
    assert document.unscoped == 0
    for caption, rows in document.tables.items():
        assert caption
        assert {len(row) for row in rows} == {len(rows[0])}, caption


def test_every_plot_says_in_words_what_it_shows_and_has_its_data(document: Document, page: str) -> None:
    embedded = re.search(r'<script type="application/json" id="report-data">(.*?)</script>', page)
    assert embedded
    assert set(json.loads(embedded[1])["figures"]) == set(document.plots)
    assert all(len(words) > 40 for words in document.plots.values())
    assert any("display basket 3.81%" in words for words in document.plots.values())


def test_numbers_are_told_with_separators_and_sensible_digits(document: Document) -> None:
    totals = document.tables["Rows through the Zipper"][-1]
    assert totals == [
        "All domains",
        "1,074,726",
        "1,049,652",
        "357,049",
        "352,272",
        "340,331",
        "25,074",
        "0",
        "3,224,178",
    ]
    assert ["coupon", "redeem", "7d", "46,998", "46,551", "28", "0.0601%", "405", "42"] in document.tables[
        "Rows and positive rates"
    ]
    assert ["display", "purchase", "81,873", "11.0%", "56.6%", "100%"] in document.tables[
        "Conversions seen by the end of each window"
    ]


def test_versions_of_every_table_are_listed(document: Document) -> None:
    assert document.tables["Versions of every table"][1:] == [
        [table.name, str(table.version), f"{table.rows:,}", table.fingerprint] for table in samples.run_info().tables
    ]


def test_a_portfolio_that_says_too_little_is_shown_and_left_out_with_the_reason(document: Document) -> None:
    rows = {tuple(row[:2]): row for row in document.tables["Metrics of each portfolio"]}
    assert rows["display", "basket"][3:6] == ["0.8581", "0.8010", "0.1273"]
    assert rows["display", "basket"][-1] == "counted"
    assert rows["coupon", "redeem"][-1] == "left out: 62 positives and 46 converting users"
    assert document.tables["Metrics of each portfolio"][-1][:5] == ["Mean of 5", "", "", "0.8567", "0.7680"]


def test_metrics_that_do_not_exist_are_dashes(tmp_path: Path) -> None:
    metrics = samples.metrics()
    measures = ("auc", "normalized_entropy", "bce", "calibration", "expected_calibration_error", "base_rate")
    blind = dict.fromkeys(measures) | dict.fromkeys(("rows", "positives", "negatives", "users_with_positive"), 0)
    for part in metrics["slices"]:
        part["portfolios"] = [portfolio | blind | {"in_mean": False} for portfolio in part["portfolios"]]
        part["means"] = {"portfolios": 0, "auc": None, "normalized_entropy": None}
    metrics["calibration_curves"] = []
    document = Document(_render(tmp_path, metrics=metrics))
    assert document.tables["Metrics of each portfolio"][1][3:9] == ["\N{EN DASH}"] * len(measures)
    assert "no portfolio has enough positives" in document.text


def test_a_run_without_model_or_rows_is_reported_too(tmp_path: Path) -> None:
    document = Document(_render(tmp_path, NOTHING))
    assert "No model has been trained" in document.text
    assert "No model has been evaluated" in document.text
    assert document.plots == {}


def test_a_group_without_windows_has_no_zipper_part(tmp_path: Path) -> None:
    whole = samples.statistics()
    changes = {
        "windows": (),
        "window_days": (),
        "delays": (),
        "labels": tuple(row for row in whole.labels if row.window is None),
        "zipper": tuple(part.model_copy(update={"windows": {}}) for part in whole.zipper),
    }
    document = Document(_render(tmp_path, whole.model_copy(update=changes)))
    assert "Rows through the Zipper" not in document.tables
    assert {row[2] for row in document.tables["Rows and positive rates"][1:]} == {"immediate"}


def test_text_from_outside_stays_text(tmp_path: Path) -> None:
    hostile = "</script><script>alert(1)</script>"
    metrics = samples.metrics()
    metrics["slices"][1]["name"] = hostile
    page = _render(tmp_path, metrics=metrics, title=hostile)
    assert "alert(1)</script>" not in page
    assert hostile in Document(page).text


def test_a_report_that_cannot_be_written_names_place_and_remedy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(render, "get_plotlyjs", lambda: "")
    blocked = tmp_path / "file"
    blocked.write_text("not a folder")
    with pytest.raises(LatticeError, match=r"cannot be written") as caught:
        render_report(NOTHING, None, None, samples.run_info(), blocked / "report.html")
    assert caught.value.place == str(blocked / "report.html")
    assert caught.value.remedy.startswith("Give a path")


def test_a_report_is_replaced_whole(tmp_path: Path) -> None:
    path = tmp_path / "report.html"
    path.mkdir()
    with pytest.raises(LatticeError):
        render_report(NOTHING, None, None, samples.run_info(), path)
    assert list(tmp_path.iterdir()) == [path]


def test_the_header_counts_what_is_in_quarantine(tmp_path: Path) -> None:
    run = samples.run_info().model_copy(update={"quarantined": 1_234})
    render_report(samples.statistics(), None, None, run, tmp_path / "r.html")
    text = Document((tmp_path / "r.html").read_text(encoding="utf-8")).text
    assert "Quarantine1,234 rows" in text.replace("\n", "")
