"""One self-contained HTML page about a run, from plain data: no Spark, no torch, and no network when it is read.

The same arguments give the same bytes.
"""

import contextlib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from markupsafe import Markup
from plotly.offline import get_plotlyjs

from pipelines.report import formats, palette
from pipelines.report.blocks import Section, Table
from pipelines.report.data_section import data_section
from pipelines.report.metrics_section import metrics_section
from pipelines.report.pages import as_json, asset, environment, script_hash
from pipelines.report.tiles import tiles
from pipelines.report.totals import distinct
from pipelines.report.training_section import training_section
from schemas.errors import LatticeError
from schemas.report import ReportStatistics, RunInfo

Json = Mapping[str, Any]
_DIGITS = 16
"""Of a fingerprint, which are 64: as many as fit in a line."""


def render_report(
    statistics: ReportStatistics, training_log: Json | None, metrics: Json | None, run: RunInfo, path: Path
) -> None:
    """Write the report of a run; a report that is there already is replaced in one step.

    Args:
        training_log: the JSON of a training log; None if nothing was trained.
        metrics: the JSON of an evaluation; None if nothing was evaluated.

    Raises:
        LatticeError: the file cannot be written.
    """
    page = _page(statistics, training_log, metrics, run)
    unfinished = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        unfinished.write_text(page, encoding="utf-8")
        unfinished.replace(path)
    except OSError as error:
        with contextlib.suppress(OSError):
            unfinished.unlink()
        raise LatticeError(
            str(path),
            f"The report cannot be written: {error.strerror or error}.",
            "Give a path to a file in a folder that you may write to.",
        ) from error


def _page(statistics: ReportStatistics, training_log: Json | None, metrics: Json | None, run: RunInfo) -> str:
    looks = _looks(statistics, training_log, metrics)
    twins = palette.twins(len(looks.windows))
    sections = (
        data_section(statistics, looks),
        training_section(training_log, looks),
        metrics_section(metrics, looks),
        _versions_section(run),
    )
    figures = {key: chart.figure for section in sections for key, chart in section.charts().items()}
    scripts = (get_plotlyjs(), asset("draw.js") + asset("report.js"))
    return (
        environment()
        .get_template("report.html")
        .render(
            run=run,
            finished=formats.moment(run.finished),
            tiles=tiles(statistics, training_log, metrics),
            sections=sections,
            twins=twins,
            css=Markup(asset("report.css")),
            scripts=tuple(Markup(script) for script in scripts),
            hashes=tuple(script_hash(script) for script in scripts),
            data=as_json({"figures": figures, "twins": twins}),
        )
    )


def _looks(statistics: ReportStatistics, log: Json | None, metrics: Json | None) -> palette.Looks:
    """Looks for every name that any part of the report mentions."""
    portfolios = [portfolio for part in metrics["slices"] for portfolio in part["portfolios"]] if metrics else []
    heads = [head.partition("/")[2] for head in log["heads"]] if log else []
    counted: list[Any] = [*statistics.zipper, *statistics.weeks, *statistics.labels, *statistics.delays]
    return palette.Looks(
        domains=distinct([*(part.domain for part in counted), *(p["domain"] for p in portfolios)]),
        objectives=distinct(curve.objective for curve in statistics.delays),
        windows=distinct(filter(None, [*statistics.windows, *heads, *(p["window"] for p in portfolios)])),
    )


def _versions_section(run: RunInfo) -> Section:
    table = Table(
        title="Versions of every table",
        columns=("Table", "Delta version", "Rows", "Fingerprint"),
        rows=tuple((t.name, str(t.version), formats.count(t.rows), t.fingerprint[:_DIGITS]) for t in run.tables),
        remark=True,
        note=f"The fingerprint, here its first {_DIGITS} digits, stands for the input, code and configuration that the "
        "table was built from.",
    )
    return Section(
        key="versions",
        title="The versions",
        lead="From these versions everything above can be computed again.",
        blocks=(table,),
    )
