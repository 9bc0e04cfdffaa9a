"""``lattice demo``: the whole way, from raw tables to a trained, evaluated network and its report."""

import time
from typing import Annotated

import typer
from rich.console import Console

from jobs import options
from jobs.build import STAGES
from jobs.evaluate import evaluate_model, show_metrics
from jobs.memory import PeakMemory
from jobs.model_config import ModelConfig
from jobs.report import write_report
from jobs.stages import run_stages
from jobs.target import Target
from jobs.train import train_model
from pipelines.session import give_back_memory

console = Console(stderr=True)


def demo(
    space: options.Space = options.DEFAULT_SPACE,
    warehouse: options.Warehouse = options.DEFAULT_WAREHOUSE,
    group: options.Group = options.DEFAULT_GROUP,
    sample: Annotated[str, typer.Option("--sample", help="As for `lattice build`.")] = "demo",
) -> None:
    """Build a sample's tables, train on them, evaluate on the test range, and write the report.

    A second run skips what is finished.

    Examples:

      lattice demo

      lattice demo --sample tiny --warehouse /tmp/tiny
    """
    started = time.monotonic()
    target = Target.parse(space, warehouse, group, sample)
    with PeakMemory() as memory:
        run_stages(target, STAGES, "demo")
        give_back_memory()
        model = train_model(target, "test", ModelConfig.read())
        metrics = evaluate_model(model, target.space)
        page = write_report(target, model)
    show_metrics(metrics, Console())
    print(f"Report: {page.resolve()}")
    seconds, gib = time.monotonic() - started, memory.peak / 2**30
    console.print(f"demo: finished in {seconds:.0f} s, with at most {gib:.1f} GiB of memory", highlight=False)


if __name__ == "__main__":
    options.script(demo)
