"""One run of ``lattice importance``: rows drawn, pieces measured, all of it published at once."""

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F
from rich.console import Console

from jobs.importance_pieces import Pieces
from jobs.models import check_repeatable
from jobs.runs import Made, running
from jobs.target import Target, code_fingerprint, fingerprint
from lattice_model.importance.config import ImportanceConfig
from lattice_model.importance.features import features_of
from lattice_model.training.checkpoint import load
from lattice_model.training.trainer import CHECKPOINT
from pipelines.importance import PIECE, importance_rows, validation_rows
from pipelines.layout import PARQUET_OPTIONS, file_count
from pipelines.tables import Published, delta_files, join_uri, publish, published, read, read_delta, write
from pipelines.warehouse import remove_folder
from schemas.errors import LatticeError
from schemas.importance import KEYS, importance_suite
from schemas.manifest import TrainingManifest

console = Console(stderr=True)


@dataclass(frozen=True, kw_only=True)
class Request:
    """What a run is to measure."""

    rows: int
    config: ImportanceConfig
    together: Mapping[str, list[str]]


def measure_importance(target: Target, spark: SparkSession, folder: Path, request: Request) -> DataFrame:
    """The rows of the run in the published table, measured unless they are there.

    Raises:
        LatticeError: the model has seen the validation rows' labels, or the request makes no sense.
    """
    checkpoint = load(folder / CHECKPOINT)
    manifest = checkpoint.manifest
    if checkpoint.split != "validation":
        raise LatticeError(
            f"model '{folder.name}'",
            f"It was trained for the split '{checkpoint.split}', so on labels of validation rows too.",
            "Train one that has not seen them: `lattice train --split validation`.",
        )
    features = features_of(manifest, request.together)
    run = _run_id(folder.name, manifest, request)
    uri = target.group_table("importance")
    if (found := _rows_of(spark, published(uri), run)) is not None:
        console.print("importance: skipped, this run is finished (same model, rows and settings)")
        return found
    staging = join_uri(target.group_table("importance_runs"), run)
    console.print(f"importance: run {run}, {len(features):,} features of model {folder.name}", highlight=False)
    pieces = Pieces(
        checkpoint=(folder / CHECKPOINT).resolve(),
        files=_staged_rows(spark, manifest, request, join_uri(staging, "rows"), run),
        features=features,
        config=request.config,
        folder=join_uri(staging, "pieces"),
        threads=int(spark.conf.get("spark.task.cpus", "1") or 1),
    )
    pieces.run(spark, console)
    measured = spark.read.schema(PIECE).json([pieces.uri(number) for number in range(pieces.count)])
    version = manifest.tables["evaluation"].version
    rows = importance_rows(measured, run, folder.name, version, datetime.now(UTC)).coalesce(1)
    with running(target, "importance") as held:
        started, before = time.time(), published(uri)
        table = publish(rows, uri, fingerprint=run, check=_check, append=True, run=held.id)
        added = table.rows - (before.rows if before else 0)
        held.made.append(Made(table=table, rows=added, started=started, ended=time.time(), stage="importance"))
    remove_folder(staging)
    made = _rows_of(spark, table, run)
    assert made is not None  # the suite wants rows
    _tell_left_out(made, manifest)
    return made


def _run_id(model: str, manifest: TrainingManifest, request: Request) -> str:
    code = code_fingerprint("schemas", "lattice_model")
    asked = (str(request.rows), request.config.model_dump_json(), json.dumps(dict(request.together), sort_keys=True))
    return fingerprint(code, model, manifest.fingerprint, str(manifest.tables["evaluation"].version), *asked)[:12]


def _rows_of(spark: SparkSession, table: Published | None, run: str) -> DataFrame | None:
    """The rows of a run, if there are any."""
    if table is None:
        return None
    rows = read(spark, table).where(F.col("run_id") == run)
    return rows if rows.limit(1).count() else None


def _staged_rows(
    spark: SparkSession, manifest: TrainingManifest, request: Request, uri: str, run: str
) -> tuple[str, ...]:
    """The files of the rows to permute, drawn and written once a run."""
    try:
        return tuple(delta_files(uri))
    except OSError:  # not drawn yet
        pass
    evaluation = manifest.tables["evaluation"]
    check_repeatable(evaluation)
    drawn = validation_rows(
        read_delta(spark, evaluation.uri, evaluation.version), request.rows, request.config.seed
    ).repartition(file_count(request.rows), "impression_id")
    with console.status("importance: drawing rows"):
        version = write(drawn, uri, append=False, note=run, options=PARQUET_OPTIONS)
    if not read_delta(spark, uri, version).limit(1).count():
        remove_folder(uri)
        raise LatticeError(
            evaluation.uri, "It has no validation rows.", "Build with a validation range that the data covers."
        )
    return tuple(delta_files(uri))


def _check(rows: DataFrame, _: Published) -> None:
    from pipelines.quality import check  # takes ten seconds to import

    check(rows, "importance", importance_suite(), KEYS)


def _tell_left_out(rows: DataFrame, manifest: TrainingManifest) -> None:
    tasks = {(row["domain"], row["objective"]) for row in rows.select("domain", "objective").distinct().collect()}
    every = [(domain, objective.name) for objective in manifest.objectives for domain in objective.domains]
    if left_out := [f"{domain}/{objective}" for domain, objective in every if (domain, objective) not in tasks]:
        console.print(
            f"importance: left out, as these rows have labels of one kind or of one user alone: {', '.join(left_out)}"
        )
