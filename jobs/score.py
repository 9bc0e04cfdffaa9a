"""``lattice score``: the probabilities of a trained model for the rows of a table, or for requests."""

import json
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import pyarrow as pa
import typer
from pyspark import Broadcast
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F
from rich.console import Console
from rich.table import Table

from jobs import options
from jobs.export import exported
from jobs.models import find_model
from jobs.progress import watched
from jobs.runs import Made, Run, running
from jobs.spark_errors import explained
from jobs.suppression import keep_out_of
from jobs.target import Target, fingerprint
from lattice_model.export.archive import Export
from lattice_model.export.archive import read as read_export
from lattice_model.export.scoring import score as score_batches
from pipelines.requests import read_requests, request_features
from pipelines.serving import Scorer, scores
from pipelines.session import spark_session
from pipelines.tables import Published, byte_size, publish, published, read, read_delta, require
from schemas.errors import LatticeError
from schemas.expectations import scores_suite

console = Console(stderr=True)


def publish_scores(
    spark: SparkSession, rows: DataFrame, export: Export, uri: str, made_of: str, run: str = ""
) -> Published:
    """Score rows and publish them as a new version of the table at ``uri``; the rows before are no part of it."""
    from pipelines.quality import check  # it takes ten seconds to import

    layout = export.layout
    suite = scores_suite(layout.domains, [objective.name for objective in layout.objectives], layout.model)
    keys = ("impression_id", "domain", "user_id", "item_id", "impression_time")

    def checked(written: DataFrame, _: Published) -> None:
        check(written, uri.rsplit("/", 1)[-1], suite, keys)

    return publish(
        scores(rows, layout, scorer(spark, export)),
        uri,
        fingerprint=fingerprint("score", layout.model, layout.program_sha256, made_of),
        check=checked,
        run=run,
    )


def scorer(spark: SparkSession, export: Export) -> Scorer:
    """What workers run: the model is sent to each of them once, and loaded once in each of its processes."""
    sent: Broadcast[Export] = spark.sparkContext.broadcast(export)

    def work(batches: Iterable[pa.RecordBatch]) -> Iterable[pa.RecordBatch]:
        return score_batches(sent.value, batches)

    return work


def _requested(spark: SparkSession, target: Target, path: str) -> tuple[DataFrame, str]:
    """Features of requests, and what they were made of."""
    read_tables = {
        name: require(uri, "lattice build")
        for tables in (target.event_tables, target.attribute_tables)
        for name, uri in tables.items()
    }
    requests = keep_out_of(read_requests(spark, path, target.space, target.group), target)
    events = {name: read(spark, read_tables[name]) for name in target.event_tables}
    attributes = {name: read(spark, read_tables[name]) for name in target.attribute_tables}
    made_of = " ".join(f"{table.uri} {table.version}" for table in read_tables.values())
    return request_features(requests, events, attributes, target.space, target.group), f"{path} {made_of}"


def _rows(spark: SparkSession, target: Target, table: str) -> tuple[DataFrame, str]:
    """A table of the group by its name, or any Delta table, and which version of it."""
    uri = table if "/" in table else target.group_table(table)
    found = published(uri) if "/" in table else require(uri, "lattice build")
    if found is None:
        return read_delta(spark, uri), uri
    return read(spark, found), f"{uri} {found.version}"


@contextmanager
def _run(target: Target, out: str | None) -> Iterator[Run | None]:
    """A run, if a table of the warehouse is written: who may only read that can score into a table elsewhere."""
    if out is None:
        with running(target, "score") as run:
            yield run
    else:
        yield None


def _portfolios(spark: SparkSession, table: Published) -> list[dict[str, object]]:
    """Rows and mean probability of each domain and objective."""
    parts = read(spark, table).groupBy("domain", "objective", "window")
    found = parts.agg(F.count(F.lit(1)).alias("rows"), F.mean("probability").alias("mean")).orderBy(
        "objective", "domain"
    )
    return [row.asDict() for row in found.collect()]


def score(
    space: options.Space = options.DEFAULT_SPACE,
    warehouse: options.Warehouse = options.DEFAULT_WAREHOUSE,
    group: options.Group = options.DEFAULT_GROUP,
    models: options.Models = None,
    split: options.SplitName = options.SplitChoice.test,
    model: options.TrainedModel = None,
    export: Annotated[
        Path | None, typer.Option("--export", help="The folder of an exported model, in place of --model.")
    ] = None,
    table: Annotated[
        str, typer.Option("--table", help="What to score: a table of the group by its name, or any Delta table.")
    ] = "evaluation",
    requests: Annotated[
        str | None,
        typer.Option(
            "--requests",
            help="Score these instead: .csv, .parquet or a Delta table of domain, user_id, item_id, impression_time "
            "and what the space declares of impressions.",
        ),
    ] = None,
    out: Annotated[
        str | None, typer.Option("--out", help="The Delta table to write. Default: `scores` of the group.")
    ] = None,
    as_json: options.Json = False,
) -> None:
    """Score a table, or requests, with a trained model, into a Delta table: a row an impression and objective.

    Features of requests are computed from the published tables by the build's own code, as of each request's time.

    Examples:

      lattice score

      lattice score --table unified --out /data/scores

      lattice score --requests tonight.csv --export serving/model --json
    """
    target = Target.parse(space, warehouse, group, models=models)
    served = read_export(export) if export else exported(find_model(target, split.value, model))
    layout, started = served.layout, time.monotonic()
    if (layout.space, layout.group) != (target.space.name, target.group):
        raise LatticeError(
            f"model {layout.model}",
            f"It was made for {layout.space}/{layout.group}, not for {target.space.name}/{target.group}.",
            "Give the space and group that it was made for.",
        )
    with explained():
        with console.status("score: starting Spark"):
            spark = spark_session("score")
        with watched(console, spark, "scores"), _run(target, out) as run:
            rows, made_of = _requested(spark, target, requests) if requests else _rows(spark, target, table)
            uri, began = out or target.group_table("scores"), time.time()
            made = publish_scores(spark, rows, served, uri, made_of, run.id if run else "")
            if run:
                size = byte_size(made)
                run.made.append(
                    Made(table=made, rows=made.rows, started=began, ended=time.time(), stage="score", bytes=size)
                )
        portfolios = _portfolios(spark, made)
    seconds = time.monotonic() - started
    console.print(f"score: {made.rows:,} scores of model {layout.model} in {seconds:.1f} s", highlight=False)
    found = {"table": made.uri, "version": made.version, "model": layout.model, "rows": made.rows}
    if as_json:
        print(json.dumps({**found, "seconds": round(seconds, 1), "portfolios": portfolios}, indent=2))
        return
    shown = Table("domain", "objective", "window", "rows", "mean probability", title=f"{made.uri}, {made.version}")
    for part in portfolios:
        window = str(part["window"] or "")
        shown.add_row(str(part["domain"]), str(part["objective"]), window, f"{part['rows']:,}", f"{part['mean']:.4f}")
    Console().print(shown)


if __name__ == "__main__":
    options.script(score)
