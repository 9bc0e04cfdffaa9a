"""The page of what was checked: complete, escaped, and nothing from outside."""

from datetime import UTC, datetime
from html.parser import HTMLParser

from pipelines.report.quality_page import quality_page
from schemas.quality import Checked, Measure, Outcome

CHECKED = Checked(
    table="impressions",
    run="20240501T013000-482913",
    through=datetime(2024, 5, 1, tzinfo=UTC),
    rows=1_234,
    outcomes=(
        Outcome(failure="user_id is null", why="it cannot be joined", rows=1_236, failing=2, passed=False),
        Outcome(failure="the table has no rows", why="what follows would be empty", rows=None, failing=0, passed=True),
    ),
    quarantined=2,
    measures=(
        Measure(
            domain="<feed>", column="label_click", kind="positive rate", before=0.1, now=0.2, change=0.87, level="warn"
        ),
    ),
)


class Cells(HTMLParser):
    """The texts of a page, and what it would load."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.texts: list[str] = []
        self.links: list[str] = []
        self.feed(page)

    def handle_data(self, data: str) -> None:
        self.texts += [data.strip()] if data.strip() else []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert tag != "script"
        self.links += [value for name, value in attrs if name in ("src", "href") and value]


def test_everything_that_was_checked_is_there() -> None:
    page = quality_page("A shop", "all", [CHECKED], {("impressions", "user_id is null"): 2})
    found = Cells(page)
    for text in ("A shop", "impressions: 1 of 2 expectations fail", "user_id is null", "1,236", "fails", "holds"):
        assert text in found.texts
    assert {"<feed>", "0.87", "warned", "Rows by reason"} <= set(found.texts)
    assert any("1,234 rows that run 20240501T013000-482913 added" in text for text in found.texts)
    assert all(link.startswith(("#", "data:")) for link in found.links)
    assert page == quality_page("A shop", "all", [CHECKED], {("impressions", "user_id is null"): 2})


def test_a_warehouse_without_anything_has_a_page_too() -> None:
    found = Cells(quality_page("A shop", "all", [], {}))
    assert "No row is kept apart." in found.texts
    assert "Nothing changed that chance does not explain." in found.texts
