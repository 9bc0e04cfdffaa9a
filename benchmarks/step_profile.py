"""Where the time of a training step goes: ``python -m benchmarks.step_profile``.

A step is taken apart (passes, clipping, the optimizers), and each part of the network is run by itself, forward and
backward, on the very inputs that it has in the step; the parts of a module make up nearly all of it.
"""

import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Annotated, Any

import torch
import typer
from rich.console import Console
from torch import Tensor, nn
from torch.nn.utils import clip_grad_norm_
from torch.utils import _pytree as pytree

from benchmarks.generated_inputs import make_manifest
from benchmarks.generated_table import write_table
from benchmarks.quality_result import Machine
from benchmarks.results import Out, Result, save
from lattice_model.allocation import keep_freed_memory
from lattice_model.batch import Batch
from lattice_model.loader import Loader
from lattice_model.models import MODELS, build, configure, find_kind
from lattice_model.supervision.masked_bce import head_targets, masked_bce
from lattice_model.training.config import TrainingConfig
from lattice_model.training.optimizers import build_optimizers, dense_parameters
from lattice_model.training.sparse_tables import name_rows

_WARM, _TIMES, _DEPTH = 3, 15, 3
"""Runs before the clock starts, measured runs, and levels of modules."""
console = Console(stderr=True)


class Part(Result):
    """A part of a step, or a module by its path; ``seconds`` is the median."""

    name: str
    seconds: float


class Profile(Result):
    """Everything that was measured."""

    model: str
    rows: int
    parameters: int
    features: str
    threads: int
    step: float
    parts: tuple[Part, ...]
    modules: tuple[Part, ...]
    loading: float
    """Seconds of the loader for as many rows, in threads of its own."""
    machine: Machine


def timed(run: Callable[[], object]) -> float:
    """The median of some runs."""
    taken = []
    for number in range(_WARM + _TIMES):
        started = time.perf_counter()
        run()
        if number >= _WARM:
            taken.append(time.perf_counter() - started)
    return median(taken)


def alone(network: nn.Module, batch: Batch) -> list[Part]:
    """Each module of the upper levels on the inputs that it has in a forward pass, forward and backward."""
    seen: dict[str, tuple[Any, Any]] = {}

    def note(name: str) -> Callable[[nn.Module, Any, Any], None]:
        return lambda _module, arguments, named: seen.update({name: (arguments, named)})

    modules = {name: module for name, module in network.named_modules() if name and name.count(".") < _DEPTH}
    hooks = [module.register_forward_pre_hook(note(name), with_kwargs=True) for name, module in modules.items()]
    network(batch)
    for hook in hooks:
        hook.remove()
    parts = []
    for name, (arguments, named) in seen.items():
        given = pytree.tree_map(_freed, (arguments, named))
        parts.append(Part(name=name, seconds=timed(partial(_through, modules[name], *given))))
    order = list(modules)
    return sorted(parts, key=lambda part: order.index(part.name))


def _freed(value: object) -> object:
    return value.detach().requires_grad_(value.requires_grad) if isinstance(value, Tensor) else value


def _through(module: nn.Module, arguments: Any, named: Any) -> None:
    found = [out for out in pytree.tree_leaves(module(*arguments, **named)) if isinstance(out, Tensor)]
    found = [out for out in found if out.requires_grad]
    if found:
        torch.autograd.backward(found, [torch.ones_like(out) for out in found])


def run(model: str, rows: int, table_size: int) -> Profile:
    """Take a step apart."""
    keep_freed_memory()  # as the trainer does
    torch.manual_seed(1)
    manifest = make_manifest(table_size=table_size)
    config = TrainingConfig(batch_size=rows)
    with TemporaryDirectory() as folder:
        loader = Loader(write_table(manifest, 10 * rows, Path(folder)), manifest, batch_size=rows)
        started = time.perf_counter()
        batch, *_ = (loaded.batch for loaded in loader.epoch())
        loading = (time.perf_counter() - started) / loader.steps
    network = build(configure(find_kind(model, "--model").hyper(), manifest, "test")).train()
    name_rows(network, network.config.inputs, rows)
    dense, optimizers = dense_parameters(network), build_optimizers(network, config)
    targets = head_targets(batch.labels_BO, batch.window_B, network.config.inputs.heads)

    def loss() -> Tensor:
        return masked_bce(network(batch), targets, weight_B=batch.weight_B).total

    names = ["forward", "backward", "clipping", "AdamW, dense", "row-wise Adagrad, tables", "gradients let go"]
    taken: dict[str, list[float]] = {name: [] for name in names}
    for number in range(_WARM + _TIMES):
        marks = [time.perf_counter()]

        def mark(value: object = None, marks: list[float] = marks) -> object:
            marks.append(time.perf_counter())
            return value

        total: Any = mark(loss())
        mark(total.backward())
        mark(clip_grad_norm_(dense, 1.0))
        for optimizer in optimizers:
            mark(optimizer.step())
        for optimizer in optimizers:
            optimizer.zero_grad(set_to_none=True)
        mark()
        if number >= _WARM:
            for name, before, after in zip(names, marks, marks[1:], strict=False):
                taken[name].append(after - before)
    parts = tuple(Part(name=name, seconds=median(values)) for name, values in taken.items())
    return Profile(
        model=model,
        rows=rows,
        parameters=sum(part.numel() for part in network.parameters()),
        features=f"{len(manifest.categorical)} ids, {len(manifest.dense)} numbers, a sequence of "
        f"{manifest.sequences[0].length} events, {table_size:,} rows a table",
        threads=torch.get_num_threads(),
        step=sum(part.seconds for part in parts),
        parts=parts,
        modules=tuple(alone(network, batch)),
        loading=loading,
        machine=Machine.here(),
    )


def page(result: Profile) -> str:
    """The result as Markdown."""
    lines = [
        "# Where the time of a training step goes",
        "",
        f"Model `{result.model}` ({result.parameters:,} parameters, its default settings; {result.features}), "
        f"{result.rows:,} rows a step, {result.threads} threads: {1000 * result.step:.0f} ms, "
        f"{result.rows / result.step:,.0f} rows a second. The loader takes {1000 * result.loading:.0f} ms for as many "
        "rows, in threads of its own. By `python -m benchmarks.step_profile`.",
        "",
        "| part of the step | ms | share |",
        "| --- | ---: | ---: |",
    ]
    lines += [
        *(_row(part, result) for part in result.parts),
        "",
        "Each module by itself, forward and backward, on the inputs that it has in the step, with all that it holds.",
        "",
        "| module | ms | share of the step |",
        "| --- | ---: | ---: |",
        *(_row(part, result) for part in result.modules),
    ]
    return "\n".join([*lines, "", str(result.machine), ""])


def _row(part: Part, result: Profile) -> str:
    return f"| {part.name} | {1000 * part.seconds:.1f} | {part.seconds / result.step:.1%} |"


def main(
    model: Annotated[str, typer.Option("--model", help=f"One of {', '.join(MODELS)}.")] = "lattice",
    rows: Annotated[int, typer.Option("--rows", help="Of a step.")] = 4096,
    table_size: Annotated[int, typer.Option("--table-size", help="Rows of an embedding table.")] = 100_000,
    out: Out = Path("docs/results/step-profile.md"),
) -> None:
    """Profile a training step on made-up rows.

    Examples:

      python -m benchmarks.step_profile

      python -m benchmarks.step_profile --model dcnv2 --out /tmp/dcnv2.md
    """
    result = run(model, rows, table_size)
    save(result, page(result), out)
    print(page(result))


if __name__ == "__main__":
    typer.run(main)
