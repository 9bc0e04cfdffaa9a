"""Rows trained a second, beside FuxiCTR: the same architecture, widths, batches and rows on the same cores.

  git clone https://github.com/reczoo/FuxiCTR /tmp/FuxiCTR
  python -m venv /tmp/peers
  /tmp/peers/bin/pip install torch==2.14.1 fuxictr==2.3.10 'ray[data]' keras_preprocessing
  python -m benchmarks.speed --source /tmp/FuxiCTR --python /tmp/peers/bin/python

Each side trains as its users do: its own Parquet loader, optimizer and loop. Ours updates the rows of the tables that a
batch names (row-wise Adagrad), FuxiCTR's Adam all rows of all tables; so the tables' size counts, and is varied.
"""

import json
import subprocess
import tempfile
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
import typer
from rich.console import Console

from benchmarks.generated_inputs import make_manifest
from benchmarks.quality_result import Machine
from benchmarks.results import Out, Result, Scratch, save
from lattice_model.baselines.autoint import AutoIntHyperparameters
from lattice_model.baselines.dcnv2 import DCNv2Hyperparameters
from lattice_model.loader import Loader
from lattice_model.loading.rows import fold
from lattice_model.models import configure
from lattice_model.network.config import SharedHyperparameters
from lattice_model.training.config import TrainingConfig
from lattice_model.training.trainer import train
from schemas.manifest import TrainingManifest

BATCH, IDS, DIM, LAYERS, HEAD = 4096, 26, 16, 3, 32
WIDTHS = (192, 128)
SIZES = (10_000, 100_000)
_ROUNDS = 2
_FILES = 2
console = Console(stderr=True)


class Trained(Result):
    """One side's best round."""

    model: Literal["DCNv2", "AutoInt"]
    side: Literal["Lattice", "FuxiCTR"]
    table_size: int
    parameters: int
    rows_a_second: float
    waiting_share: float

    @property
    def stepping(self) -> float:
        """Rows a second of the steps alone."""
        return self.rows_a_second / (1 - self.waiting_share)


class Speeds(Result):
    """Everything that was measured."""

    batch_size: int
    steps: int
    threads: int
    trained: tuple[Trained, ...]
    machine: Machine


def manifest_of(table_size: int) -> TrainingManifest:
    """Ids with a table each, a click, and nothing else."""
    made = make_manifest(ids=IDS, numbers=0, tables=IDS, table_size=table_size)
    return made.model_copy(update={"sequences": (), "objectives": made.objectives[:1]})


def write_rows(manifest: TrainingManifest, rows: int, folder: Path) -> list[str]:
    """Random ids, few of them seen often, as hashes for us and, folded, for FuxiCTR; a domain and a label."""
    rng = np.random.default_rng(1)
    ours, theirs = folder / "ours", folder / "theirs"
    ours.mkdir()
    theirs.mkdir()
    files = []
    for number in range(_FILES):
        count = rows // _FILES
        domain = rng.integers(0, len(manifest.domains), count).astype(np.int32)
        label = (rng.random(count) < 0.1).astype(np.float32)
        known: dict[str, Any] = {"domain_index": domain, "window_index": np.zeros(count, np.int32)}
        known["weight"] = np.ones(count, np.float32)
        folded: dict[str, Any] = {"domain": domain.astype(np.int64) + 1, "label": label}
        for part in manifest.categorical:
            values = np.random.default_rng(part.size).integers(-(2**63), 2**63 - 1, part.size)
            hashes = values[np.minimum(rng.exponential(part.size / 8, count).astype(np.int64), part.size - 1)]
            known[part.column], folded[part.name] = hashes, fold(hashes, part.size)
        known[manifest.objectives[0].column] = label
        files.append(str(ours / f"part-{number}.parquet"))
        pq.write_table(pa.table(known), files[-1], row_group_size=40_000)
        pq.write_table(pa.table(folded), theirs / f"part-{number}.parquet", row_group_size=40_000)
    table = {
        "features": {part.name: part.size for part in manifest.categorical} | {"domain": len(manifest.domains) + 1},
        "batch_size": BATCH,
        "dim": DIM,
        "layers": LAYERS,
        "widths": [*WIDTHS, HEAD],
    }
    (theirs / "table.json").write_text(json.dumps(table), encoding="utf-8")
    return files


def hyper_of(model: str) -> SharedHyperparameters:
    """Our model of that name, as wide as FuxiCTR's is made."""
    shared: dict[str, Any] = {"dim": DIM, "dropout": 0.0, "layers": LAYERS, "deep_widths": WIDTHS, "task_width": HEAD}
    if model == "DCNv2":  # whose cross layers have a square matrix there: two factors with as many weights
        return DCNv2Hyperparameters(**shared, rank=(IDS + 1) * DIM // 2)
    return AutoIntHyperparameters(**shared, width=DIM, heads=2)


def ours(model: Literal["DCNv2", "AutoInt"], manifest: TrainingManifest, files: list[str], steps: int) -> Trained:
    """Train by the trainer."""
    with tempfile.TemporaryDirectory() as folder:
        log = train(
            config=TrainingConfig(batch_size=BATCH, steps=steps, save_every=1e9),
            network_config=configure(hyper_of(model), manifest, "test"),
            batches=Loader(files, manifest, batch_size=BATCH),
            manifest=manifest,
            split="test",
            folder=Path(folder),
            console=Console(quiet=True),
        )
    return Trained(
        model=model,
        side="Lattice",
        table_size=manifest.categorical[0].size,
        parameters=log.dense_parameters + log.embedding_parameters,
        rows_a_second=log.rows_per_second,
        waiting_share=log.waiting_share,
    )


def theirs(
    model: Literal["DCNv2", "AutoInt"], manifest: TrainingManifest, rows: Path, steps: int, source: Path, python: Path
) -> Trained:
    """Train by FuxiCTR."""
    found = subprocess.run(
        [python, Path(__file__).with_name("theirs.py"), source, rows, model, str(steps)],
        check=False,
        capture_output=True,
        text=True,
    )
    if found.returncode:
        raise SystemExit(f"FuxiCTR's {model} ended with status {found.returncode}:\n{found.stderr[-4000:]}")
    result = json.loads(found.stdout.splitlines()[-1])
    return Trained(
        model=model,
        side="FuxiCTR",
        table_size=manifest.categorical[0].size,
        parameters=result["parameters"],
        rows_a_second=result["rows"] / result["seconds"],
        waiting_share=result["waiting_share"],
    )


def run(steps: int, source: Path, python: Path, scratch: Path | None) -> Speeds:
    """Train every model on every size by both sides, in turns; the best round of each counts."""
    best: dict[tuple[str, str, int], Trained] = {}
    for size in SIZES:
        with tempfile.TemporaryDirectory(dir=scratch) as folder:
            manifest = manifest_of(size)
            files = write_rows(manifest, BATCH * (steps + 2), Path(folder))
            models: tuple[Literal["DCNv2", "AutoInt"], ...] = ("DCNv2", "AutoInt")
            for model in models * _ROUNDS:
                for found in (
                    ours(model, manifest, files, steps),
                    theirs(model, manifest, Path(folder) / "theirs", steps, source, python),
                ):
                    console.print(
                        f"{model}, tables of {size:,}, {found.side}: {found.rows_a_second:,.0f} rows/s, "
                        f"{found.parameters:,} parameters, waiting {found.waiting_share:.0%}",
                        highlight=False,
                    )
                    key = (model, found.side, size)
                    best[key] = max(found, best.get(key, found), key=lambda trained: trained.rows_a_second)
    return Speeds(
        batch_size=BATCH,
        steps=steps,
        threads=torch.get_num_threads(),
        trained=tuple(best.values()),
        machine=Machine.here(),
    )


def page(result: Speeds) -> str:
    """The result as Markdown."""
    lines = [
        "# Training beside FuxiCTR",
        "",
        f"{result.steps} steps of {result.batch_size:,} made-up rows with {IDS} ids and a domain, each with a table of "
        f"width {DIM}; {LAYERS} cross or attention layers and an MLP of {', '.join(map(str, (*WIDTHS, HEAD)))}; "
        f"{result.threads} threads; each side with its own Parquet loader, optimizer and loop, the better of "
        f"{_ROUNDS} rounds, taken in turns. FuxiCTR's Adam updates every row of every table in every step; ours, "
        "row-wise Adagrad, those that the batch names. By "
        f"`python -m benchmarks.speed --steps {result.steps} --source CHECKOUT --python PYTHON`, FuxiCTR's checkout "
        "and environment as the module's head says.",
        "",
        "| model | rows a table | side | parameters | rows a second | of the steps alone | waiting for data |",
        "| --- | ---: | --- | ---: | ---: | ---: | ---: |",
    ]
    for one in result.trained:
        lines.append(
            f"| {one.model} | {one.table_size:,} | {one.side} | {one.parameters:,} | {one.rows_a_second:,.0f} | "
            f"{one.stepping:,.0f} | {one.waiting_share:.1%} |"
        )
    lines += [
        "",
        "| model | rows a table | rows a second, over FuxiCTR's | of the steps alone |",
        "| --- | ---: | ---: | ---: |",
    ]
    pairs = {(one.model, one.table_size): one for one in result.trained if one.side == "FuxiCTR"}
    for one in result.trained:
        if one.side == "Lattice":
            other = pairs[one.model, one.table_size]
            lines.append(
                f"| {one.model} | {one.table_size:,} | {one.rows_a_second / other.rows_a_second:.2f} | "
                f"{one.stepping / other.stepping:.2f} |"
            )
    return "\n".join([*lines, "", str(result.machine), ""])


def main(
    source: Annotated[Path, typer.Option("--source", help="A checkout of FuxiCTR.")],
    python: Annotated[Path, typer.Option("--python", help="The Python of an environment that has what it needs.")],
    steps: Annotated[int, typer.Option("--steps", help="Of each training.")] = 60,
    scratch: Scratch = None,
    out: Out = Path("docs/results/speed.md"),
) -> None:
    """Train DCN V2 and AutoInt+ here and by FuxiCTR."""
    result = run(steps, source, python, scratch)
    save(result, page(result), out)
    print(page(result))


if __name__ == "__main__":
    typer.run(main)
