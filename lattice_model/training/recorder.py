"""What is told of a run while it goes: progress, TensorBoard scalars, the loss curve.

Shapes: H heads.
"""

import shutil
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar

import torch
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from torch import Tensor
from torch.utils.tensorboard import SummaryWriter

from lattice_model.supervision.masked_bce import HeadLosses
from lattice_model.training.encoding import Tree
from lattice_model.training.log import TrainingPoint, ValidationPoint

T = TypeVar("T")

POINTS = 200
"""About how many points a loss curve has."""
_SMOOTHING = 0.8


class Recorder:
    """A context manager around the steps of one run; its clock starts, or goes on, when it is entered.

    Without a folder it draws no scalars: those of a run are drawn by one of its processes.
    """

    def __init__(self, *, folder: Path | None, heads: Sequence[str], steps: int, console: Console) -> None:
        self.curve: list[TrainingPoint] = []
        self._sums_H: Tensor
        self._labels_H: Tensor
        self.rows = 0
        self.step = 0
        self._heads = tuple(heads)
        self._steps = steps
        self._every = max(1, steps // POINTS)
        self._folder = folder
        self._writer: SummaryWriter | None = None
        self._progress = Progress(
            TextColumn("training"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[state]}"),
            TimeRemainingColumn(),
            console=console,
        )
        self._waited = self._saving = 0.0
        self._seconds = self._seconds_since = 0.0
        self._forget()

    def __enter__(self) -> Self:
        if self._folder is not None:
            if self.step == 0:
                shutil.rmtree(self._folder, ignore_errors=True)  # another run's scalars would be drawn into this one
            # what was drawn after the state was saved is drawn anew
            self._writer = SummaryWriter(log_dir=str(self._folder), purge_step=self.step + 1 if self.step else None)
        self._task = self._progress.add_task("training", total=self._steps, completed=self.step, state="")
        self._progress.start()
        now = time.perf_counter()
        self._start, self._since = now - self._seconds, now - self._seconds_since
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()
        if self._writer is not None:
            self._writer.close()

    @property
    def seconds(self) -> float:
        return time.perf_counter() - self._start

    @property
    def waiting_share(self) -> float:
        """Share of the time so far that was spent waiting for batches."""
        return self._waited / self.seconds

    @property
    def saving_share(self) -> float:
        """Share of the time so far that was spent saving states."""
        return self._saving / self.seconds

    def state(self) -> Tree:
        """What has been told so far."""
        return {
            "curve": [point.model_dump() for point in self.curve],
            "rows": self.rows,
            "step": self.step,
            "seconds": [self.seconds, time.perf_counter() - self._since, self._waited, self._saving],
            "since": [self._new_rows, self._loss, self._sums_H, self._labels_H],
        }

    def restore(self, state: Tree) -> None:
        """Go on from where ``state`` was asked for; before the context is entered."""
        self.curve = [TrainingPoint.model_validate(point) for point in state["curve"]]
        self.rows, self.step = state["rows"], state["step"]
        self._seconds, self._seconds_since, self._waited, self._saving = state["seconds"]
        self._new_rows, self._loss, self._sums_H, self._labels_H = state["since"]

    @contextmanager
    def saving(self) -> Iterator[None]:
        """Count the time of the block as spent on saving."""
        before = time.perf_counter()
        yield
        self._saving += time.perf_counter() - before

    def waiting(self, batches: Iterator[T]) -> Iterator[T]:
        """The batches, with the wait for each of them counted."""
        while True:
            before = time.perf_counter()
            batch = next(batches, None)
            self._waited += time.perf_counter() - before
            if batch is None:
                return
            yield batch

    def add(self, *, epoch: int, rows: int, loss: float, losses: HeadLosses, learning_rate: float) -> None:
        """Take in one step; every few steps, and at the last, a point is recorded."""
        self.step += 1
        self.rows += rows
        self._new_rows += rows
        self._loss += loss * rows
        self._sums_H += (losses.mean_H * losses.labels_H).cpu()
        self._labels_H += losses.labels_H.cpu()
        if self.step % self._every == 0 or self.step == self._steps:
            self._record(epoch, learning_rate)
        self._progress.advance(self._task)

    def validated(self, point: ValidationPoint) -> None:
        """Draw an evaluation."""
        for name in ("normalized_entropy", "auc"):
            value = getattr(point, name)
            if value is not None and self._writer is not None:
                self._writer.add_scalar(f"validation/{name}", value, point.step)

    def _record(self, epoch: int, learning_rate: float) -> None:
        loss = self._loss / self._new_rows
        before = self.curve[-1].smoothed if self.curve else loss
        means = (self._sums_H / self._labels_H).tolist()
        now = time.perf_counter()
        point = TrainingPoint(
            step=self.step,
            epoch=epoch,
            rows=self.rows,
            loss=loss,
            smoothed=_SMOOTHING * before + (1 - _SMOOTHING) * loss,
            head_losses={
                name: mean if labels else None
                for name, mean, labels in zip(self._heads, means, self._labels_H.tolist(), strict=True)
            },
            learning_rate=learning_rate,
            rows_per_second=self._new_rows / (now - self._since),
        )
        self._since = now
        self.curve.append(point)
        self._draw(point)
        self._forget()

    def _draw(self, point: TrainingPoint) -> None:
        scalars = {"loss": point.loss, "learning_rate": point.learning_rate, "rows_per_second": point.rows_per_second}
        scalars["waiting_share"] = self.waiting_share
        scalars |= {f"head/{name}": loss for name, loss in point.head_losses.items() if loss is not None}
        if self._writer is not None:
            for name, value in scalars.items():
                self._writer.add_scalar(name, value, point.step)
        state = f"loss {point.smoothed:.4f}, {point.rows_per_second:,.0f} rows/s"
        self._progress.update(self._task, state=state)

    def _forget(self) -> None:
        self._new_rows = 0
        self._loss = 0.0
        self._sums_H = torch.zeros(len(self._heads))
        self._labels_H = torch.zeros(len(self._heads))
