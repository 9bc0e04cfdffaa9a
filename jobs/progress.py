"""Shows where Spark stands while it works."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from pyspark.sql import SparkSession
from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

_SECONDS_BETWEEN_LOOKS = 0.5


@contextmanager
def watched(console: Console, spark: SparkSession, name: str) -> Iterator[None]:
    """A bar of the tasks that Spark has finished of those now submitted, until the block ends."""
    bar = Progress(
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.fields[tasks]}"),
        TimeElapsedColumn(),
        console=console,
        transient=True,
        # In a log file the lines that each table ends with say enough.
        disable=not console.is_terminal,
    )
    task = bar.add_task(name, total=None, tasks="")
    ended = threading.Event()
    tracker = spark.sparkContext.statusTracker()

    def look() -> None:
        while not ended.wait(_SECONDS_BETWEEN_LOOKS):
            stages = [info for s in tracker.getActiveStageIds() if (info := tracker.getStageInfo(s)) is not None]
            done, total = sum(s.numCompletedTasks for s in stages), sum(s.numTasks for s in stages)
            bar.update(task, completed=done, total=total or None, tasks=f"{done}/{total} tasks" if total else "")

    with bar:
        thread = threading.Thread(target=look, daemon=True)
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join()
