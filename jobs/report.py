"""``lattice report``: one HTML page about the tables, the training and the metrics."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from jobs import options
from jobs.build import STAGES
from jobs.models import METRICS, REPORT, current_manifest, find_model
from jobs.progress import watched
from jobs.spark_errors import explained
from jobs.target import Target, fingerprint
from lattice_model.training.trainer import LOG
from pipelines.delays import conversion_delays
from pipelines.report.collect import collect_statistics
from pipelines.report.render import render_report
from pipelines.session import spark_session
from pipelines.tables import Published, read, require, value_counts
from schemas.report import ReportStatistics, RunInfo, TableVersion

_STATISTICS = "statistics.json"
console = Console(stderr=True)


def write_report(target: Target, model: Path, path: Path | None = None) -> Path:
    """Write the report of a model and the tables as they are published now; return its path."""
    # No model is made of the pool, and a selection that no build has followed yet has none.
    uris = [uri for stage in STAGES for uri in stage.tables(target) if uri != target.group_table("pool")]
    tables = {uri.rsplit("/", 1)[-1]: require(uri, "lattice build") for uri in uris}
    page = path or model / REPORT
    statistics = _statistics(target, tables, model / _STATISTICS)
    metrics = model / METRICS
    render_report(
        statistics,
        json.loads((model / LOG).read_text(encoding="utf-8")),
        json.loads(metrics.read_text(encoding="utf-8")) if metrics.is_file() else None,
        RunInfo(
            space=target.space.name,
            title=target.space.title or target.space.name,
            group=target.group,
            sample=current_manifest(target).sample,
            quarantined=sum(value_counts(target.quarantine, "table").values()),
            finished=datetime.now(UTC),
            tables=tuple(
                TableVersion(name=name, version=t.version, rows=t.rows, fingerprint=t.fingerprint)
                for name, t in tables.items()
            ),
        ),
        page,
    )
    return page


def _statistics(target: Target, tables: dict[str, Published], kept: Path) -> ReportStatistics:
    """What the report says about the data; kept beside the model, for the next report of the same versions."""
    versions = fingerprint(*(f"{t.uri} {t.version} {t.fingerprint}" for t in tables.values()))
    if kept.is_file():
        found = json.loads(kept.read_text(encoding="utf-8"))
        if found["versions"] == versions:
            console.print("report: the tables' statistics are finished (same versions)")
            return ReportStatistics.model_validate(found["statistics"])
    with explained():
        spark = spark_session("report")
        frames = {name: read(spark, table) for name, table in tables.items()}
        with watched(console, spark, "report"):
            statistics = collect_statistics(
                target.space,
                target.group,
                impressions=frames["impressions"],
                feedback=frames["feedback"],
                unified=frames["unified"],
                zipped=frames["zipped"],
                evaluation=frames["evaluation"],
                delays=conversion_delays(frames["outcomes"], target.space, target.group),
            )
    kept.write_text(
        json.dumps({"versions": versions, "statistics": statistics.model_dump(mode="json")}), encoding="utf-8"
    )
    return statistics


def report(
    space: options.Space = options.DEFAULT_SPACE,
    warehouse: options.Warehouse = options.DEFAULT_WAREHOUSE,
    group: options.Group = options.DEFAULT_GROUP,
    models: options.Models = None,
    split: options.SplitName = options.SplitChoice.test,
    model: options.TrainedModel = None,
    out: Annotated[Path | None, typer.Option("--out", help="The HTML file. Default: beside the model.")] = None,
) -> None:
    """Write one self-contained HTML page: the data, the training, the metrics, the versions of every table.

    Examples:

      lattice report

      lattice report --out report.html
    """
    target = Target.parse(space, warehouse, group, models=models)
    print(write_report(target, find_model(target, split.value, model), out))


if __name__ == "__main__":
    options.script(report)
