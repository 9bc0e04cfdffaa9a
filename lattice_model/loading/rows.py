"""Columns of a training or evaluation table as arrays, and those as batches.

Shapes: R rows, B impressions of a batch, C categorical features, F dense features, N places of a sequence, I its id
fields, E its number fields, O objectives.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torchrec.sparse.jagged_tensor import KeyedJaggedTensor

from lattice_model.batch import Batch, SequenceBatch
from lattice_model.loading.columns import Array, unpack
from schemas.errors import LatticeError
from schemas.manifest import SequenceInput, TrainingManifest

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


def decode(columns: Mapping[str, Array], manifest: TrainingManifest, keys: Sequence[str]) -> Arrays:
    """The named columns of R rows as a few arrays: folded ids, stacked numbers, unpacked sequences.

    Raises:
        LatticeError: a whole number is null, or a packed sequence has not the declared length.
    """
    rows = len(columns["domain_index"])
    arrays: Arrays = {
        "domain": _whole(columns, "domain_index"),
        "window": _whole(columns, "window_index"),
        "categorical": _stack(rows, (fold(_whole(columns, c.column), c.size) for c in manifest.categorical), np.int64),
        "dense": _stack(rows, (columns[part.column] for part in manifest.dense), np.float32),
        "weight": columns["weight"],
        "labels": _stack(rows, (columns[part.column] for part in manifest.objectives), np.float32),
    }
    for sequence in manifest.sequences:
        arrays |= _decode_sequence(columns, sequence)
    return arrays | {_KEY + name: columns[name] for name in keys}


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


def _decode_sequence(columns: Mapping[str, Array], sequence: SequenceInput) -> Arrays:
    rows = len(columns[sequence.length_column])

    def unpacked(name: str, dtype: str) -> Array:
        return unpack(name, columns[name], dtype, sequence.length, _REBUILD)

    ids = (fold(unpacked(part.column, "<i8"), part.size) for part in sequence.ids)
    numbers = (unpacked(part.column, "<f4") for part in sequence.dense)
    return {
        f"{sequence.name}/ids": _stack(rows, ids, np.int64, sequence.length),
        f"{sequence.name}/dense": _stack(rows, numbers, np.float32, sequence.length),
        f"{sequence.name}/length": _whole(columns, sequence.length_column),
    }


def _stack(rows: int, parts: Iterator[Array], dtype: Any, *inner: int) -> Array:
    """The parts along a new last axis; no part gives an array without any columns."""
    stacked = list(parts)
    return np.stack(stacked, axis=-1, dtype=dtype) if stacked else np.empty((rows, *inner, 0), dtype)


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
