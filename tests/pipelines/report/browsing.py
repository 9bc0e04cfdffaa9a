"""Pages in real Chromium: what they look like, what they load, and what goes wrong.

Screenshots land in the test's folder and, if it is set, in the folder that LATTICE_SCREENSHOTS names.
"""

import os
import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from playwright.sync_api import Browser, Page

# What the page looks like from within; every number is in CSS pixels.
LOOK = """() => ({
  overflow: document.documentElement.scrollWidth - window.innerWidth,
  plots: [...document.querySelectorAll(".plot")].map((plot) => {
    const box = plot.querySelector("svg.main-svg")?.getBoundingClientRect();
    const scrolls = plot.closest(".scroll") !== null;
    return { id: plot.id, scrolls, left: box?.left ?? 0, right: box?.right ?? 0, height: box?.height ?? 0,
             marks: plot.querySelectorAll(".trace, .point, .js-line").length };
  }),
  smallest: Math.min(...[...document.querySelectorAll("main *, header *")]
    .filter((element) => element.textContent.trim() && element.getClientRects().length)
    .map((element) => parseFloat(getComputedStyle(element).fontSize))),
})"""


@dataclass
class Visit:
    """An open page and what went wrong or out while it loaded."""

    page: Page
    requests: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)


def visited(browser: Browser, path: Path, width: int, scheme: Literal["light", "dark"] = "light") -> Visit:
    page = browser.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme)
    # A busy machine draws slowly; that is no failure of the page.
    page.set_default_timeout(120_000)
    visit = Visit(page)
    page.on("request", lambda request: visit.requests.append(request.url))
    page.on("requestfailed", lambda request: visit.problems.append(f"failed: {request.url}"))
    page.on("pageerror", lambda error: visit.problems.append(f"exception: {error}"))
    page.on(
        "console",
        lambda message: visit.problems.append(message.text) if message.type in ("error", "warning") else None,
    )
    page.goto(path.as_uri())
    return visit


def screenshot(page: Page, tmp_path: Path, name: str) -> None:
    path = tmp_path / f"{name}.png"
    page.screenshot(path=path, full_page=True)
    assert path.stat().st_size > 0
    if kept := os.environ.get("LATTICE_SCREENSHOTS"):
        folder = Path(kept)
        folder.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, folder / path.name)
