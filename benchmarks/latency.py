"""Inference latency of one call: eager, compiled and exported, at batches of 1, 64 and 4096 rows.

``python -m benchmarks.latency`` measures the serving part of a model (raw columns in, probabilities out) with the
features of a made-up group; weights are random, as time does not depend on them. ``--threads`` is torch's.
"""

import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated

import numpy as np
import torch
import typer
from rich.console import Console
from torch import Tensor

from benchmarks.generated_inputs import make_inputs, make_manifest
from benchmarks.quality_result import Machine
from benchmarks.results import Out, Result, save
from lattice_model.export import archive
from lattice_model.export.serving import Serving
from lattice_model.models import MODELS, build, configure, find_kind

SIZES = (1, 64, 4096)
_WARM, _LEAST, _SECONDS = 5, 20, 4.0
"""Calls before the clock starts, measured ones at least, and how long each case is measured."""
console = Console(stderr=True)


class Latency(Result):
    """Milliseconds of one call, over the calls that were measured."""

    way: str
    rows: int
    calls: int
    p50: float
    p95: float
    p99: float

    @property
    def rows_a_second(self) -> float:
        return self.rows / self.p50 * 1000


class Latencies(Result):
    """Everything that was measured."""

    model: str
    parameters: int
    features: str
    threads: int
    preparing: dict[str, float]
    """Seconds until a way is ready: compiling, or exporting and loading back."""
    largest_difference: dict[str, float]
    """Between a way's probabilities and the eager ones, over all batches."""
    measured: tuple[Latency, ...]
    machine: Machine


def measure(way: str, call: Callable[[], Tensor], rows: int) -> Latency:
    """Time calls one after the other."""
    for _ in range(_WARM):
        call()
    taken: list[float] = []
    end = time.perf_counter() + _SECONDS
    while len(taken) < _LEAST or time.perf_counter() < end:
        started = time.perf_counter()
        call()
        taken.append(1000 * (time.perf_counter() - started))
    p50, p95, p99 = np.percentile(taken, [50, 95, 99])
    return Latency(way=way, rows=rows, calls=len(taken), p50=p50, p95=p95, p99=p99)


def run(model: str, threads: int) -> Latencies:
    """Prepare the three ways, hold them against each other, and measure them."""
    torch.set_num_threads(threads)
    torch.manual_seed(1)
    manifest = make_manifest()
    network = build(configure(find_kind(model, "--model").hyper(), manifest, "test")).eval()
    eager = Serving(network, manifest).eval()
    inputs = {rows: make_inputs(manifest, rows) for rows in SIZES}
    ways: dict[str, Callable[..., Tensor]] = {"eager": eager}
    preparing = {}
    with torch.inference_mode(), TemporaryDirectory() as folder:
        started = time.perf_counter()
        archive.write(Path(folder) / "it", network, manifest, model="made up", split="test")
        ways["exported"] = archive.program_of(archive.read(Path(folder) / "it"))
        preparing["exported"] = time.perf_counter() - started
        started = time.perf_counter()
        ways["compiled"] = torch.compile(eager, dynamic=True)
        for rows in SIZES:
            ways["compiled"](inputs[rows])
        preparing["compiled"] = time.perf_counter() - started
        wanted = {rows: eager(inputs[rows]) for rows in SIZES}
        differences = {
            way: max(float((call(inputs[rows]) - wanted[rows]).abs().max()) for rows in SIZES)
            for way, call in ways.items()
            if way != "eager"
        }
        measured = []
        for rows in SIZES:
            for way in ("eager", "compiled", "exported"):
                measured.append(measure(way, partial(ways[way], inputs[rows]), rows))
                console.print(f"{way}, {rows} rows: {measured[-1].p50:.2f} ms", highlight=False)
    return Latencies(
        model=model,
        parameters=sum(part.numel() for part in network.parameters()),
        features=f"{len(manifest.categorical)} ids, {len(manifest.dense)} numbers, "
        f"{len(manifest.sequences)} sequence of {manifest.sequences[0].length} events",
        threads=threads,
        preparing=preparing,
        largest_difference=differences,
        measured=tuple(measured),
        machine=Machine.here(),
    )


def page(result: Latencies) -> str:
    """The result as Markdown."""
    lines = [
        "# Latency of inference",
        "",
        f"One call of the serving part of model `{result.model}` ({result.parameters:,} parameters, its default "
        f"settings; {result.features}; raw columns in, probabilities out), by `python -m benchmarks.latency`, "
        f"{result.threads} thread{'s' * (result.threads > 1)} of torch. Eager is the network in Python, compiled is "
        "`torch.compile` of it for batches of any size, exported is what `lattice export` writes, loaded back. "
        "Probabilities differ from the eager ones by at most "
        + ", ".join(f"{value:.1g} ({way})" for way, value in result.largest_difference.items())
        + ".",
        "",
        "| rows a call | way | median, ms | 95 %, ms | 99 %, ms | rows a second | calls |",
        "| ---: | --- | ---: | ---: | ---: | ---: | ---: |",
    ]
    lines += [
        f"| {part.rows:,} | {part.way} | {part.p50:.2f} | {part.p95:.2f} | {part.p99:.2f} | "
        f"{part.rows_a_second:,.0f} | {part.calls:,} |"
        for part in result.measured
    ]
    ready = ", ".join(f"{way} {seconds:.0f} s" for way, seconds in result.preparing.items())
    return "\n".join([*lines, "", f"Time to get ready: {ready}.", "", str(result.machine), ""])


def main(
    model: Annotated[str, typer.Option("--model", help=f"One of {', '.join(MODELS)}.")] = "lattice",
    threads: Annotated[int, typer.Option("--threads", help="Of torch.")] = 1,
    out: Out = Path("docs/results/latency.md"),
) -> None:
    """Measure the latency of one call, eager, compiled and exported.

    Examples:

      python -m benchmarks.latency

      python -m benchmarks.latency --model dlrm --threads 2 --out /tmp/dlrm.md
    """
    result = run(model, threads)
    save(result, page(result), out)
    print(page(result))


if __name__ == "__main__":
    typer.run(main)
