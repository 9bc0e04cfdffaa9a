"""``python -m benchmarks.importance.scaling``: thousands of features, measured by one executor of Spark and by two.

A made-up group of ten domains and three objectives, where every feature is in every domain: each permutation changes
all rows of 30 tasks, the worst case. The network is not trained, so that it is less smooth than a trained one and a
sample of the rows is enough for fewer features. Each executor is a process of its own with one core and one thread.
"""

import os
import shlex
import sys
import tempfile
import time
from pathlib import Path
from typing import Annotated

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
import typer
from rich.console import Console

from benchmarks.generated_inputs import make_manifest
from benchmarks.generated_table import write_table
from benchmarks.quality_result import Machine
from benchmarks.results import Out, Result, Scratch, save
from jobs import options
from jobs.importance_pieces import FEATURES, Pieces
from lattice_model.flops import measure
from lattice_model.importance.config import ImportanceConfig
from lattice_model.importance.features import features_of
from lattice_model.importance.rows import KEYS
from lattice_model.models import build, configure
from lattice_model.network import Hyperparameters
from lattice_model.training.checkpoint import Checkpoint
from lattice_model.training.checkpoint import save as save_checkpoint
from lattice_model.training.config import TrainingConfig
from pipelines.session import spark_session
from schemas.errors import LatticeError
from schemas.manifest import ObjectiveLabel, Split, TrainingManifest

console = Console(stderr=True)
_DOMAINS, _OBJECTIVES = 10, 3
_IDS, _EVENTS = 20, 20
_HYPER = Hyperparameters(dim=8, dense_width=1, dense_tokens=4)
"""So small that 12,000 numbers make less than 2 MFLOPs of a row."""
_USERS = 2_000
_MEGABYTES = 1024
"""Of an executor's JVM, which does next to nothing."""
_CLUSTER = 100
"""Executors, for what a cluster would take."""


class Timed(Result):
    """Seconds of the clock for the measured features."""

    executors: int
    measured: int
    """As many features were permuted, once each; how long all take follows from it where they are more."""
    seconds: float
    begin: float
    """Until the first piece was there: to start executors, load the model, read the rows and compute their tokens."""
    piece: float
    """Between two pieces, on average."""


class Scaling(Result):
    """Everything that was measured."""

    features: int
    tasks: int
    rows: int
    mflops: float
    """Of a row through the whole network."""
    command: str
    machine: Machine
    timed: tuple[Timed, ...]

    def whole(self, part: Timed, executors: int | None = None) -> float:
        """Seconds for all features, on as many executors or on another number."""
        pieces = -(-self.features // FEATURES)
        return part.begin + part.piece * (pieces - 1) * part.executors / (executors or part.executors)


def wide_manifest(features: int) -> TrainingManifest:
    """Numbers for the most part, a few ids and one sequence, all in ten domains with three immediate objectives."""
    domains = tuple(f"d{number}" for number in range(_DOMAINS))
    plain = make_manifest(ids=_IDS, numbers=features - _IDS - 1, events=_EVENTS, table_size=10_000)
    inside = {"domains": domains}
    names = (f"label_{number}" for number in range(_OBJECTIVES))
    return plain.model_copy(
        update={
            **inside,
            "categorical": tuple(part.model_copy(update=inside) for part in plain.categorical),
            "dense": tuple(part.model_copy(update=inside) for part in plain.dense),
            "sequences": tuple(part.model_copy(update=inside) for part in plain.sequences),
            "objectives": tuple(ObjectiveLabel(name=n, column=n, windows=(), domains=domains) for n in names),
        }
    )


def validation_file(manifest: TrainingManifest, rows: int, folder: Path) -> str:
    """Random validation rows with the keys that importance asks for."""
    (path,) = write_table(manifest, rows, folder)
    table = pq.read_table(path)
    users = np.random.default_rng(2).integers(0, _USERS, rows).astype(str)
    keys = {"impression_id": pa.array(np.arange(rows)), "user_id": pa.array(users)}
    assert set(keys) == set(KEYS)
    for name, column in {**keys, "split": pa.array(["validation"] * rows)}.items():
        table = table.append_column(name, column)
    pq.write_table(table, path, row_group_size=rows)
    return path


def timed(pieces: Pieces, executors: int) -> Timed:
    """Measure them in a Spark application with so many executors."""
    os.environ["LATTICE_MASTER"] = f"local-cluster[{executors},1,{_MEGABYTES}]"
    spark = spark_session("scaling")
    try:
        started = time.time()
        pieces.run(spark, console)
        seconds = time.time() - started
    finally:
        spark.stop()
    ends = sorted(Path(pieces.uri(number)).stat().st_mtime for number in range(pieces.count))
    # The first piece of each executor belongs to its beginning.
    later = ends[executors - 1 :]
    piece = (later[-1] - later[0]) / max(len(later) - 1, 1)
    found = Timed(
        executors=executors, measured=len(pieces.features), seconds=seconds, begin=ends[0] - started, piece=piece
    )
    console.print(
        f"{executors} executors: {seconds:.0f} s; {found.begin:.0f} s to begin, then {piece:.2f} s a piece",
        highlight=False,
    )
    return found


def page(result: Scaling) -> str:
    """The result as Markdown."""
    lines = [
        "# Permutation importance of thousands of features",
        "",
        f"{result.features:,} features and {result.tasks} tasks on a made-up group, {result.rows:,} rows, a network "
        f"of {result.mflops:.2f} MFLOPs a row; every feature is in every domain, so that a permutation changes the "
        f"rows of all tasks. One permutation a feature, in pieces of {FEATURES} features, by executors of Spark that "
        f"are processes of one core and one thread each. By `{result.command}`.",
        "",
        "| executors | features measured | seconds | to begin | a piece | all features, minutes |",
        "| ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    for part in result.timed:
        lines.append(
            f"| {part.executors} | {part.measured:,} | {part.seconds:.0f} | {part.begin:.0f} | {part.piece:.2f} | "
            f"{result.whole(part) / 60:.0f} |"
        )
    first, last = result.timed[0], result.timed[-1]
    lines += [
        "",
        "To begin: seconds until the first piece is there; executors start, load the model, read the rows and compute "
        "the tokens of all features. A piece: seconds between two of them. All features: what follows from these where "
        "not all were measured.",
        "",
    ]
    if first.executors != last.executors:
        lines += [
            f"{last.executors} executors take {last.piece / first.piece:.2f} of the time of {first.executors} a piece, "
            f"{result.whole(last) / result.whole(first):.2f} for all features. {_CLUSTER} such cores would take "
            f"{result.whole(last, _CLUSTER) / 60:.1f} minutes, if it scales as from {first.executors} to "
            f"{last.executors}.",
            "",
        ]
    return "\n".join([*lines, str(result.machine), ""])


def scaling(
    features: Annotated[int, typer.Option("--features", min=_IDS + 2, help="Of the group.")] = 12_000,
    measured: Annotated[
        list[int] | None,
        typer.Option(
            "--measured", min=1, help="Measure so many of them; once, or for each of --executors. Default: all."
        ),
    ] = None,
    rows: Annotated[int, typer.Option("--rows", min=1, max=40_000, help="Validation rows.")] = 20_000,
    executors: Annotated[
        list[int] | None, typer.Option("--executors", min=1, help="How many; may be repeated. Default: 1 and 2.")
    ] = None,
    scratch: Scratch = None,
    out: Out = Path("docs/results/importance-scaling.md"),
) -> None:
    """Measure the importance of thousands of features by Spark, with one executor and with two.

    Examples:

      python -m benchmarks.importance.scaling --measured 400

      python -m benchmarks.importance.scaling --executors 1 --measured 400 --executors 2 --measured 12000
    """
    counts = executors or [1, 2]
    given = measured or [features]
    wanted = [min(count, features) for count in (given * len(counts) if len(given) == 1 else given)]
    if len(wanted) != len(counts):
        problem = f"It is given {len(given)} times, and there are {len(counts)} numbers of executors."
        raise LatticeError("--measured", problem, "Give it once, or once for each of --executors.")
    for count, executing in zip(wanted, counts, strict=True):
        if count <= FEATURES * executing:
            raise LatticeError(
                "--measured",
                f"{count} features are no more than a piece for each of {executing} executors: nothing tells how long "
                "the next one takes.",
                f"Give more than {FEATURES * executing}.",
            )
    manifest = wide_manifest(features)
    split: Split = "validation"
    with tempfile.TemporaryDirectory(dir=scratch) as name:
        folder = Path(name)
        config = configure(_HYPER, manifest, split, (0.1,) * _OBJECTIVES)
        with torch.random.fork_rng():
            torch.manual_seed(1)
            network = build(config)
        checkpoint = Checkpoint(network=network, training=TrainingConfig(), manifest=manifest, split=split)
        save_checkpoint(folder / "checkpoint", checkpoint)
        file = validation_file(manifest, rows, folder)
        every = features_of(manifest)
        found = tuple(
            timed(
                Pieces(
                    checkpoint=folder / "checkpoint",
                    files=(file,),
                    features=every[:: len(every) // count][:count],
                    config=ImportanceConfig(repeats=1, negligible=0.0),
                    folder=str(folder / f"pieces-{executing}"),
                    threads=1,
                ),
                executing,
            )
            for count, executing in zip(wanted, counts, strict=True)
        )
    result = Scaling(
        features=features,
        tasks=_DOMAINS * _OBJECTIVES,
        rows=rows,
        mflops=measure(config).total.mflops,
        command=shlex.join(["python", "-m", "benchmarks.importance.scaling", *sys.argv[1:]]),
        machine=Machine.here(),
        timed=found,
    )
    save(result, page(result), out)
    print(page(result))


if __name__ == "__main__":
    options.script(scaling)
