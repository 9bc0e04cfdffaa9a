"""Columns of a training or evaluation table as arrays, and those as batches.

Shapes: R rows, B impressions of a batch, C categorical features, F dense features, N places of a sequence, I its id
fields, E its number fields, O objectives.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torchrec.sparse.jagged_tensor import KeyedJaggedTensor

from lattice_model.batch import Batch, SequenceBatch
from lattice_model.loading.columns import Array, unpack
from schemas.errors import LatticeError
from schemas.manifest import (
    CategoricalInput,
    DenseInput,
    ObjectiveLabel,
    SequenceId,
    SequenceInput,
    SequenceNumber,
    TrainingManifest,
)

Arrays = dict[str, Array]
"""Arrays by name, all with the rows as their first axis."""

_KEY = "key/"
_REBUILD = "Build the training table again: it and its manifest do not belong together."


class Loaded(NamedTuple):
    """A batch, and the columns asked for beside it, by name and in the batch's order of rows."""

    batch: Batch
    keys: Arrays
    padded: bool = False
    """Whether it has one row that stands for none: all zero, without labels and weight."""

    @property
    def rows(self) -> int:
        return 0 if self.padded else self.batch.size


def fold(hashes: NDArray[np.int64], size: int) -> NDArray[np.int64]:
    """Rows of an embedding table of ``size`` rows: ``1 + pmod(h, size - 1)``, and 0 (absent) stays 0."""
    last = size - 1
    # NumPy vectorizes the division by one number, not the remainder; what overflows here cancels out
    folded = hashes - hashes // last * last + 1
    folded[hashes == 0] = 0
    return folded


def columns_of(manifest: TrainingManifest, keys: Sequence[str]) -> dict[str, str]:
    """The columns that a batch needs, and the Arrow type that each must have ('' for any)."""
    needed = {"domain_index": "int32", "window_index": "int32", "weight": "float"}
    needed |= {part.column: "int64" for part in manifest.categorical}
    needed |= {part.column: "float" for part in manifest.dense}
    needed |= {part.column: "float" for part in manifest.objectives}
    for sequence in manifest.sequences:
        needed |= {part.column: "binary" for part in sequence.ids}
        needed |= {part.column: "binary" for part in sequence.dense}
        needed[sequence.length_column] = "int32"
    return dict.fromkeys(keys, "") | needed


def decode(
    columns: Mapping[str, Array], manifest: TrainingManifest, keys: Sequence[str], rows: NDArray[np.int64] | None = None
) -> Arrays:
    """The named columns as a few arrays: folded ids, stacked numbers, unpacked sequences.

    ``rows`` are R positions in the columns, in the order wanted; all of them if None. In memory, the values of a column
    lie beside each other: ``dense`` is the transpose of (F, R).

    Raises:
        LatticeError: a whole number is null, or a packed sequence has not the declared length.
    """
    taken = np.arange(len(columns["domain_index"])) if rows is None else rows
    arrays: Arrays = {
        "domain": _whole(columns, "domain_index")[taken],
        "window": _whole(columns, "window_index")[taken],
        "categorical": _ids(columns, manifest.categorical, taken),
        "dense": _numbers(columns, manifest.dense, taken),
        "weight": columns["weight"][taken],
        "labels": _numbers(columns, manifest.objectives, taken),
    }
    for sequence in manifest.sequences:
        arrays |= _decode_sequence(columns, sequence, taken)
    return arrays | {_KEY + name: columns[name][taken] for name in keys}


def padding(empty: Arrays) -> Arrays:
    """One row without labels: what a process takes of a batch of which it has no row. ``empty`` are arrays of none."""
    row = {name: np.zeros((1, *array.shape[1:]), array.dtype) for name, array in empty.items()}
    return row | {"labels": np.full_like(row["labels"], np.nan)}


def to_loaded(arrays: Arrays, manifest: TrainingManifest, padded: bool = False) -> Loaded:
    """The batch of B decoded rows."""
    batch = Batch(
        categorical=_keyed([part.name for part in manifest.categorical], arrays["categorical"]),
        dense_BF=torch.from_numpy(arrays["dense"]),
        sequences={
            name: SequenceBatch(
                ids_BNI=torch.from_numpy(arrays[f"{name}/ids"]),
                dense_BNE=torch.from_numpy(arrays[f"{name}/dense"]),
                lengths_B=torch.from_numpy(arrays[f"{name}/length"]),
            )
            for name in (sequence.name for sequence in manifest.sequences)
        },
        domain_B=torch.from_numpy(arrays["domain"]),
        window_B=torch.from_numpy(arrays["window"]),
        labels_BO=torch.from_numpy(arrays["labels"]),
        weight_B=torch.from_numpy(arrays["weight"]),
    )
    keys = {name.removeprefix(_KEY): array for name, array in arrays.items() if name.startswith(_KEY)}
    return Loaded(batch, keys, padded)


def _ids(columns: Mapping[str, Array], parts: Sequence[CategoricalInput], rows: NDArray[np.int64]) -> Array:
    found_CR = np.empty((len(parts), len(rows)), np.int64)
    for part, found in zip(parts, found_CR, strict=True):
        _take(_whole(columns, part.column), rows, found)
        found[:] = fold(found, part.size)
    return found_CR.T


def _numbers(
    columns: Mapping[str, Array], parts: Sequence[DenseInput | ObjectiveLabel], rows: NDArray[np.int64]
) -> Array:
    found_FR = np.empty((len(parts), len(rows)), np.float32)
    for part, found in zip(parts, found_FR, strict=True):
        _take(columns[part.column], rows, found)
    return found_FR.T


def _take(values: Array, rows: NDArray[np.int64], out: Array) -> None:
    np.take(values, rows, out=out, mode="clip")  # all are within; with checks, NumPy goes by a buffer


def _decode_sequence(columns: Mapping[str, Array], sequence: SequenceInput, rows: NDArray[np.int64]) -> Arrays:
    def unpacked(parts: Sequence[SequenceId | SequenceNumber], dtype: str) -> Array:
        found = np.empty((len(parts), len(rows), sequence.length), dtype)
        packed = f"V{found.itemsize * sequence.length}"
        for part, own in zip(parts, found, strict=True):
            values = unpack(part.column, columns[part.column], dtype, sequence.length, _REBUILD)
            _take(values.view(packed)[:, 0], rows, own.view(packed)[:, 0])
        return found

    ids_IRN = unpacked(sequence.ids, "<i8")
    for part, own in zip(sequence.ids, ids_IRN, strict=True):
        own[:] = fold(own, part.size)
    return {
        f"{sequence.name}/ids": np.moveaxis(ids_IRN, 0, -1),
        f"{sequence.name}/dense": np.moveaxis(unpacked(sequence.dense, "<f4"), 0, -1),
        f"{sequence.name}/length": _whole(columns, sequence.length_column)[rows],
    }


def _whole(columns: Mapping[str, Array], name: str) -> NDArray[np.int64]:
    if columns[name].dtype.kind not in "iu":  # a null turns a column of whole numbers into floats
        raise LatticeError(f"column '{name}'", "It holds a null.", "An absent id is 0; build the table again.")
    return columns[name].astype(np.int64, copy=False)


def _keyed(names: list[str], ids_BC: NDArray[np.int64]) -> KeyedJaggedTensor:
    ids = ids_BC.T.ravel()
    present = ids != 0
    return KeyedJaggedTensor(
        keys=names, values=torch.from_numpy(ids[present]), lengths=torch.from_numpy(present.astype(np.int64))
    )
