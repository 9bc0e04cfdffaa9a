"""The manifest of a training table: the contract between the build (Spark) and the training (torch).

It pins the Delta version of every parent, says which column holds which feature, and carries what was fitted on
training rows. From it a training run can be repeated exactly.
"""

from datetime import datetime
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict

Split = Literal["validation", "test"]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class CategoricalInput(_Part):
    """``column`` (int64) holds the unfolded hash; 0 is absent."""

    name: str
    column: str
    id_space: str
    size: int
    domains: tuple[str, ...]


class DenseInput(_Part):
    """``column`` (float32) holds the raw value; null (NaN once read) is unknown."""

    name: str
    column: str
    domains: tuple[str, ...]


class SequenceId(_Part):
    """Little-endian int64 hashes, ``length`` of them packed in the binary ``column``; 0 pads."""

    field: str
    column: str
    id_space: str
    size: int


class SequenceNumber(_Part):
    """Little-endian float32 values, ``length`` of them packed in the binary ``column``; 0.0 pads."""

    field: str
    column: str


class SequenceInput(_Part):
    """Newest event first; ``length_column`` (int32) says how many of ``length`` places are filled."""

    name: str
    length: int
    length_column: str
    ids: tuple[SequenceId, ...]
    dense: tuple[SequenceNumber, ...]
    domains: tuple[str, ...]


class ObjectiveLabel(_Part):
    """``column`` (float32) holds 1, 0 or null: in ``training`` as of the row's window, in ``evaluation`` the oracle's.

    ``windows`` (shortest first, canonical form such as ``7d``) is empty for an immediate objective.
    """

    name: str
    column: str
    windows: tuple[str, ...]
    domains: tuple[str, ...]


class Normaliser(_Part):
    """How one dense feature is distributed over the training rows of its domains (unknown values left out).

    ``mean`` and ``std`` are those of ``sign(x) log(1 + |x|)``; ``quantiles`` are increasing values of x itself.
    """

    mean: float
    std: float
    quantiles: tuple[float, ...]
    known: float
    """The share of rows in which the value is known."""


class PinnedTable(_Part):
    uri: str
    version: int
    rows: int


class TrainingManifest(_Part):
    """See the module. Columns common to both tables:

    ``impression_id`` (int64), ``user_id`` and ``item_id`` (string), ``impression_time`` and ``available_time``
    (timestamp, UTC), ``domain_index`` (int32, position in ``domains``), ``window_index`` (int32, position in
    ``windows``, -1 for none), ``weight`` (float32, how many rows it stands for). ``evaluation`` also has ``split``
    (string: validation or test).
    A training row may serve the model of a split if ``available_time < cuts[split]``.
    """

    space: str
    group: str
    sample: str | None = None
    """The share of the data that the tables hold, as ``--sample`` names it; None for all of it."""
    domains: tuple[str, ...]
    windows: tuple[str, ...]
    objectives: tuple[ObjectiveLabel, ...]
    categorical: tuple[CategoricalInput, ...]
    dense: tuple[DenseInput, ...]
    sequences: tuple[SequenceInput, ...]
    normalisers: dict[Split, dict[str, Normaliser]]
    negatives: dict[str, float] = {}
    """Domain -> the share of its rows without a positive label that ``training`` keeps; all where it is not named."""
    selection: int | None = None
    """The version of the selection that the features are; None if they are all."""
    cuts: dict[Split, datetime]
    tables: dict[str, PinnedTable]
    """``training``, ``evaluation`` and every parent of theirs."""
    fingerprint: str
    forgotten: tuple[str, ...] = ()
    """Requests by which users were taken out of its tables since: what was made from it cannot be repeated."""

    def heads(self) -> tuple[tuple[str, str | None], ...]:
        """(objective, window) of every head, in the order of the model's outputs; window None if immediate."""
        return tuple((o.name, w) for o in self.objectives for w in (o.windows or (None,)))

    def oracle_heads(self) -> tuple[int, ...]:
        """For each objective the position of its oracle head among ``heads()``."""
        heads = self.heads()
        return tuple(heads.index((o.name, o.windows[-1] if o.windows else None)) for o in self.objectives)

    def features(self) -> tuple[str, ...]:
        """The names of all features: ids, numbers, sequences."""
        every: tuple[CategoricalInput | DenseInput | SequenceInput, ...] = (
            *self.categorical, *self.dense, *self.sequences,
        )  # fmt: skip
        return tuple(feature.name for feature in every)

    @classmethod
    def read(cls, path: Path) -> "TrainingManifest":
        return cls.model_validate_json(path.read_text())
