"""What a training run says of itself, as JSON: the contract between the trainer and the report."""

from datetime import datetime
from pathlib import Path
from typing import Any

import torch
from pydantic import BaseModel, ConfigDict, ValidationError

from lattice_model.training.config import TrainingConfig
from schemas.errors import LatticeError
from schemas.manifest import PinnedTable, Split


class _Log(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class TrainingPoint(_Log):
    """The state at one step that was logged."""

    step: int
    """From 1."""
    epoch: int
    """From 1."""
    rows: int
    """Trained on so far."""
    loss: float
    """Of the rows since the previous point."""
    smoothed: float
    """Exponential moving average of the loss."""
    head_losses: dict[str, float | None]
    """Mean BCE of each head (``purchase/7d``, ``basket``) since the previous point; null where no row had a label."""
    learning_rate: float
    """Of the dense parameters."""
    rows_per_second: float
    """Since the previous point."""


class ValidationPoint(_Log):
    """What the model was worth on the validation rows at one step: means over portfolios, weighted by their rows."""

    step: int
    normalized_entropy: float | None
    """Cross-entropy of all labels over that of predicting each portfolio's base rate."""
    auc: float | None
    """Over the portfolios that have one."""
    best: bool
    """Whether it was better than all before."""


class Software(_Log):
    """What a run was computed by."""

    code: str = ""
    """A hash of the sources of the model and its schemas."""
    lock: str | None = None
    """SHA-256 of the lock that the environment is made from; None if it is not known."""
    torch: str = str(torch.__version__)


class TrainingLog(_Log):
    """One run. Its weights lie beside it in a checkpoint."""

    space: str
    group: str
    network: str
    """Which model, as ``lattice_model.models`` names it."""
    split: Split
    """The split that the model may be evaluated on: it was trained on rows available before ``cuts[split]``."""
    cut: datetime | None = None
    """The rows that it was trained on were available before this; None for ``cuts[split]``."""
    continued: str | None = None
    """The model that it began with, which had been trained on the rows before; None if it began anew."""
    fingerprint: str
    """The manifest's."""
    tables: dict[str, PinnedTable]
    config: TrainingConfig
    hyperparameters: dict[str, Any] = {}
    """The network's."""
    software: Software = Software()
    device: str
    processes: int = 1
    """That shared the batches."""
    dense_parameters: int
    embedding_parameters: int
    heads: tuple[str, ...]
    rows: int
    """Trained on, over all epochs."""
    steps: int
    seconds: float
    rows_per_second: float
    waiting_share: float
    """Share of the time in which training waited for data."""
    saving_share: float = 0.0
    """Share of the time in which states were saved."""
    curve: tuple[TrainingPoint, ...]
    validation: tuple[ValidationPoint, ...] = ()
    """Empty without early stopping."""

    @property
    def best_step(self) -> int:
        """That of the weights which were kept."""
        return max((point.step for point in self.validation if point.best), default=self.steps)

    def write(self, path: Path) -> None:
        path.write_text(self.model_dump_json(indent=2) + "\n", encoding="utf-8")

    @classmethod
    def read(cls, path: Path) -> "TrainingLog":
        """The log that lies there.

        Raises:
            LatticeError: it is damaged, or of another release.
        """
        try:
            return cls.model_validate_json(path.read_text(encoding="utf-8"))
        except (UnicodeDecodeError, ValidationError) as error:
            reason = str(error).splitlines()[0]
            raise LatticeError(
                str(path),
                f"The log is damaged or of another release: {reason}.",
                "Move its folder away, or train again.",
            ) from error


def head_name(objective: str, window: str | None) -> str:
    """``purchase/7d``, or ``basket`` for an immediate objective."""
    return f"{objective}/{window}" if window else objective
