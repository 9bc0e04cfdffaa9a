"""``python -m benchmarks.zipper recorded`` and ``python -m benchmarks.zipper generated``; see each one's ``--help``."""

import shutil
from collections.abc import Iterator
from itertools import product
from pathlib import Path
from tempfile import mkdtemp
from typing import Annotated

import torch
import typer
from pydantic import TypeAdapter
from rich.console import Console

from benchmarks.counts import COMPARED
from benchmarks.quality_result import Machine
from benchmarks.results import Out, save
from benchmarks.zipper.generated import WEIGHTS, WINDOWS, generated
from benchmarks.zipper.online import Outcome, all_runs
from benchmarks.zipper.page import (
    Generated,
    Recorded,
    Setting,
    draw_generated,
    draw_recorded,
    gains,
    generated_page,
    recorded_page,
)
from benchmarks.zipper.recorded import read_stream, write_stream
from benchmarks.zipper.strategies import strategies
from jobs import options
from jobs.target import Target
from lattice_model.network.config import Hyperparameters
from lattice_model.training.config import TrainingConfig
from pipelines.session import give_back_memory, spark_session
from schemas.duration import format_duration

application = typer.Typer(add_completion=False)
console = Console(stderr=True)
_IMAGES = Path("docs/images")
# It is trained dozens of times, a few hundred thousand impressions each.
_SMALL = Hyperparameters(dim=8, layers=1, dropout=0.0, fmb_widths=(32,), task_width=16, ffn_width=16)


@application.command()
def recorded(
    space: options.Space = COMPARED,
    warehouse: options.Warehouse = options.DEFAULT_WAREHOUSE,
    group: options.Group = options.DEFAULT_GROUP,
    sample: options.Sample = None,
    objective: Annotated[str, typer.Option("--objective", help="One that uses every window.")] = "purchase",
    seeds: Annotated[int, typer.Option("--seeds", min=1)] = 3,
    out: Out = Path("docs/results/zipper-recorded.md"),
) -> None:
    """Daily training over a built group's impressions (run `lattice build` first), judged on the test days."""
    target = Target.parse(space, warehouse, group, sample)
    folder = Path(mkdtemp(prefix="lattice-zipper-"))
    try:
        write_stream(target, objective, str(folder))
        give_back_memory()
        stream = read_stream(target, objective, str(folder))
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    judged_from = (target.space.splits.test.start - stream.started).days
    windows = [format_duration(window) for window in target.space.objectives[objective].windows]
    # One thread: to share a batch of a few hundred rows among several costs more than it gains.
    torch.set_num_threads(1)
    outcomes: list[Outcome] = []
    for seed in range(1, seeds + 1):
        runs = all_runs(
            stream,
            strategies(windows),
            range(seed, seed + 1),
            judged_from=judged_from,
            hyper=_SMALL.model_copy(update={"dropout": 0.1, "event_model": "mean"}),
            training=TrainingConfig(batch_size=512),
        )
        outcomes += _told(runs)
        result = Recorded(
            space=space,
            sample=sample,
            objective=objective,
            command=f"python -m benchmarks.zipper recorded --objective {objective} --seeds {seeds}"
            + (f" --sample {sample}" if sample else ""),
            machine=Machine.here(),
            started=stream.started,
            impressions=stream.shown_R.size,
            outcomes=tuple(outcomes),
        )
        # After each seed: what was measured must not be lost with a later one.
        _show(result, out)
    print(out.read_text(encoding="utf-8"))


@application.command("generated")
def over_generated(
    drifts: Annotated[str, typer.Option("--drifts", help="Days, comma-separated.")] = "inf,30,10,3",
    delays: Annotated[str, typer.Option("--delays", help="Days, comma-separated.")] = "0.3,2,7",
    days: Annotated[int, typer.Option("--days")] = 100,
    judged_from: Annotated[int, typer.Option("--judged-from")] = 60,
    shown_a_day: Annotated[int, typer.Option("--shown-a-day")] = 1500,
    seeds: Annotated[int, typer.Option("--seeds", min=1)] = 2,
    out: Out = Path("docs/results/zipper-generated.md"),
) -> None:
    """Daily training where drift and delays are known, for several of each and several weights over windows."""
    chosen = strategies(WINDOWS, tuple(WEIGHTS))
    training = TrainingConfig(batch_size=256, learning_rate=2e-3)
    # Matrices this small gain nothing from a second thread.
    torch.set_num_threads(1)
    spark = spark_session("benchmark")
    command = (
        f"python -m benchmarks.zipper generated --drifts {drifts} --delays {delays} --days {days} "
        f"--judged-from {judged_from} --shown-a-day {shown_a_day} --seeds {seeds}"
    )
    settings: list[Setting] = []
    for delay, drift in product(_numbers(delays), _numbers(drifts)):
        outcomes: list[Outcome] = []
        for seed in range(1, seeds + 1):
            stream = generated(spark, drift=drift, delay=delay, days=days, shown_a_day=shown_a_day, seed=seed)
            runs = all_runs(
                stream, chosen, range(seed, seed + 1), judged_from=judged_from, hyper=_SMALL, training=training
            )  # fmt: skip
            outcomes += [outcome.in_one() for outcome in _told(runs)]
        settings.append(Setting(drift=drift, delay=delay, outcomes=tuple(outcomes)))
        told = ", ".join(f"{s.name} {sum(gains(outcomes, s.name)) / seeds:+.2f}%" for s in chosen[1:])
        console.print(f"drift {drift:g}, delay {delay:g}: {told}", highlight=False)
        result = Generated(
            command=command,
            machine=Machine.here(),
            days=days,
            judged_from=judged_from,
            shown_a_day=shown_a_day,
            settings=tuple(settings),
        )
        # After each setting: what was measured must not be lost with a later one.
        _show(result, out)
    print(out.read_text(encoding="utf-8"))


@application.command()
def redraw(out: Annotated[Path, typer.Argument(help="A page; what was measured lies beside it as JSON.")]) -> None:
    """Make a page and its picture anew from what was measured."""
    measured = out.with_suffix(".json").read_text(encoding="utf-8")
    kinds: TypeAdapter[Recorded | Generated] = TypeAdapter(Recorded | Generated)
    _show(kinds.validate_json(measured), out)


def _show(result: Recorded | Generated, out: Path) -> None:
    picture = f"../images/{out.stem}.png"
    if isinstance(result, Recorded):
        save(result, recorded_page(result, picture), out)
        draw_recorded(result, _IMAGES / f"{out.stem}.png")
    else:
        save(result, generated_page(result, picture), out)
        draw_generated(result, _IMAGES / f"{out.stem}.png")


def _numbers(text: str) -> list[float]:
    return [float(part) for part in text.split(",")]


def _told(runs: Iterator[Outcome]) -> Iterator[Outcome]:
    for outcome in runs:
        line = f"seed {outcome.seed}, {outcome.strategy}: loss {outcome.loss:.5f}, {outcome.seconds:.0f} s"
        console.print(line, highlight=False)
        yield outcome


if __name__ == "__main__":
    application()
