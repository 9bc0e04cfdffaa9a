"""The report in real Chromium: it draws everything, loads nothing, fits a phone and a desktop, runs no foreign code."""

from pathlib import Path
from typing import Any, Literal

import pytest
from playwright.sync_api import Browser

from pipelines.report.render import render_report
from tests.pipelines.report import samples
from tests.pipelines.report.browsing import LOOK, screenshot, visited

HOSTILE = """<script>window.hacked = 1</script>"'><img src=x onerror="window.hacked = 2">"""


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("report") / "report.html"
    render_report(samples.statistics(), samples.training_log(), samples.metrics(), samples.run_info(), path)
    return path


@pytest.mark.parametrize(
    ("name", "width", "scheme"), [("desktop", 1440, "light"), ("phone", 390, "light"), ("dark", 1440, "dark")]
)
def test_it_draws_every_plot_and_fits(
    browser: Browser, report: Path, tmp_path: Path, name: str, width: int, scheme: Literal["light", "dark"]
) -> None:
    visit = visited(browser, report, width, scheme)
    look: dict[str, Any] = visit.page.evaluate(LOOK)
    screenshot(visit.page, tmp_path, f"report-{name}")
    visit.page.close()

    assert visit.problems == []
    assert visit.requests == [report.as_uri()]
    assert look["overflow"] <= 0
    assert len(look["plots"]) == 24
    for plot in look["plots"]:
        assert plot["marks"] > 0, plot
        assert plot["height"] >= 180, plot
        assert 0 <= plot["left"] < plot["right"] <= width, plot
    assert look["smallest"] >= 12


def test_it_follows_the_readers_colour_scheme_and_width(browser: Browser, report: Path) -> None:
    visit = visited(browser, report, 1440)
    colour = "() => getComputedStyle(document.querySelector('.plot .xtick text')).fill"
    width = "() => document.querySelector('.plot svg.main-svg').getBoundingClientRect().width"
    light, wide = visit.page.evaluate(colour), visit.page.evaluate(width)
    visit.page.emulate_media(color_scheme="dark")
    visit.page.wait_for_function(f"light => ({colour})() !== light", arg=light)
    visit.page.set_viewport_size({"width": 390, "height": 844})
    visit.page.wait_for_function(f"wide => ({width})() < wide", arg=wide)
    assert visit.page.evaluate(LOOK)["overflow"] <= 0
    assert visit.problems == []
    visit.page.close()


def test_tables_scroll_inside_their_own_box_and_by_keyboard(browser: Browser, report: Path) -> None:
    visit = visited(browser, report, 390)
    box = visit.page.get_by_role("region", name="Metrics of each portfolio", exact=True)
    box.focus()
    assert box.evaluate("box => box.scrollWidth > box.clientWidth")
    visit.page.keyboard.press("ArrowRight")
    visit.page.wait_for_function("box => box.scrollLeft > 0", arg=box.element_handle())
    visit.page.close()


def test_hostile_text_is_shown_and_not_run(browser: Browser, tmp_path: Path) -> None:
    path = tmp_path / "report.html"
    statistics, metrics, log = samples.statistics(), samples.metrics(), samples.training_log()
    data = statistics.model_dump_json().replace('"coupon"', _quoted(HOSTILE))
    metrics["slices"][1]["name"] = HOSTILE
    for part in metrics["slices"]:
        part["portfolios"][0]["objective"] = HOSTILE
    metrics["calibration_curves"] = []
    log["device"] = HOSTILE
    render_report(type(statistics).model_validate_json(data), log, metrics, samples.run_info(HOSTILE), path)
    visit = visited(browser, path, 1440)
    assert visit.page.locator("h1").inner_text() == HOSTILE
    assert visit.page.evaluate("window.hacked") is None
    assert visit.page.locator("img, svg image, svg a").count() == 0
    assert visit.requests == [path.as_uri()]
    assert visit.problems == []
    assert visit.page.locator(".legend li", has_text="<script>").count() > 0
    assert visit.page.locator(".plot .ytick", has_text="<img src=x").count() > 0
    visit.page.close()


def _quoted(text: str) -> str:
    return '"' + text.replace('"', '\\"') + '"'
