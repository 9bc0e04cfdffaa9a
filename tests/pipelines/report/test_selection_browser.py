"""The report of a selection in real Chromium, with 30 and with 12,000 features, on a desktop and on a phone."""

from pathlib import Path
from typing import Any, Literal

import pytest
from playwright.sync_api import Browser

from pipelines.report.selection.page import selection_page
from tests.pipelines.report.browsing import LOOK, Visit, screenshot, visited
from tests.pipelines.report.selections import facts, renamed
from tests.pipelines.report.test_browser import HOSTILE


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[int, Path]:
    folder = tmp_path_factory.mktemp("selections")
    found = {}
    for features, tasks in ((30, 5), (12_000, 30)):
        found[features] = folder / f"selection-{features}.html"
        shown = facts(features, tasks, noise=features < 1000)
        found[features].write_text(selection_page(shown, "selection-3.csv"), encoding="utf-8")
    return found


def _drawn(browser: Browser, path: Path, width: int, scheme: Literal["light", "dark"] = "light") -> Visit:
    visit = visited(browser, path, width, scheme)
    visit.page.wait_for_selector("body[data-drawn]", state="attached")
    return visit


@pytest.mark.parametrize("features", [30, 12_000])
@pytest.mark.parametrize(
    ("name", "width", "scheme"), [("desktop", 1440, "light"), ("phone", 390, "light"), ("dark", 1440, "dark")]
)
def test_it_draws_every_plot_and_fits(
    browser: Browser,
    pages: dict[int, Path],
    tmp_path: Path,
    features: int,
    name: str,
    width: int,
    scheme: Literal["light", "dark"],
) -> None:
    visit = _drawn(browser, pages[features], width, scheme)
    look: dict[str, Any] = visit.page.evaluate(LOOK)
    screenshot(visit.page, tmp_path, f"selection-{features}-{name}")
    rows = visit.page.locator("#rows tr").count()
    visit.page.close()

    assert visit.problems == []
    assert visit.requests == [pages[features].as_uri()]
    assert look["overflow"] <= 0
    # Three of what is kept, frontiers, stability, kinds, heat map, six pairs, parallel coordinates.
    assert len(look["plots"]) == 14
    for plot in look["plots"]:
        assert plot["height"] >= 180, plot
        # Thirty tasks do not fit beside each other on a phone: such plots scroll in their own box.
        assert 0 <= plot["left"] < plot["right"] <= (width if not plot["scrolls"] else max(width, 900)), plot
    assert sum(plot["scrolls"] for plot in look["plots"]) == (0 if features == 30 else 2)
    assert sum(plot["marks"] > 0 for plot in look["plots"]) >= 13
    assert look["smallest"] >= 12
    assert rows == min(features, 100)


def test_features_are_found_by_name_reason_and_choice(browser: Browser, pages: dict[int, Path]) -> None:
    visit = _drawn(browser, pages[12_000], 1440)
    page = visit.page
    assert page.locator("#found").inner_text() == "the first 100 of 12,000 features"
    page.locator("#search").fill("user_item_quantity_11d")
    assert page.locator("#rows th").all_inner_texts() == ["user_item_quantity_11d"]
    page.locator("#search").fill("came after dense")
    assert page.locator("#found").inner_text().endswith("features")
    assert set(page.locator("#rows td:nth-child(2)").all_inner_texts()) == {"left out"}
    page.locator("#search").fill("")
    page.locator("#which").select_option("chosen")
    assert page.locator("#found").inner_text() == "the first 100 of 3,000 features"
    assert page.locator("#rows tr").first.locator("td").nth(5).inner_text() == "1"
    assert visit.problems == []
    page.close()


def test_hostile_names_are_shown_and_not_run(browser: Browser, tmp_path: Path) -> None:
    path = tmp_path / "selection.html"
    path.write_text(selection_page(renamed(facts(30, 2), HOSTILE), "s.csv"), encoding="utf-8")
    visit = _drawn(browser, path, 1440)
    assert visit.page.locator("h1").inner_text() == HOSTILE
    assert visit.page.evaluate("window.hacked") is None
    assert visit.page.locator("img, svg a").count() == 0
    # Plotly draws the cells of a heat map as one picture of its own.
    pictures = visit.page.evaluate("[...document.querySelectorAll('svg image')].map((part) => part.href.baseVal)")
    assert all(picture.startswith("data:image/png;base64,") for picture in pictures)
    visit.page.locator("#search").fill("onerror")
    assert HOSTILE in visit.page.locator("#rows th").all_inner_texts()
    assert visit.requests == [path.as_uri()]
    assert visit.problems == []
    visit.page.close()
