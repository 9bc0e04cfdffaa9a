"""Scores rows of Arrow by an exported model: one output row an impression and objective of its domain.

Shapes: B rows of a batch, C categorical features, N events of a source, O objectives.
"""

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from lattice_model.export.archive import Export, program_of
from lattice_model.export.serving import Inputs
from lattice_model.loading.columns import to_array, unpack
from schemas.serving import ServingLayout

KEYS = ("impression_id", "domain", "user_id", "item_id", "impression_time")
CHUNK = 1024
"""Rows are run in chunks of exactly so many, the last one filled up, so that a row's score does not depend on how the
rows are partitioned: kernels differ with the size of a batch."""


def score(export: Export, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """``KEYS``, ``objective``, ``window``, ``probability``, ``model`` for every row and objective of its domain.

    Args:
        export: the model.
        batches: ``KEYS``, ``domain_index`` and the feature columns of its layout, sequences padded.
    """
    torch.set_num_threads(1)  # one worker a core
    program = program_of(export)
    for batch in batches:
        yield from _scored(batch, run(program, inputs_of(batch, export.layout)), export.layout)


def run(program: nn.Module, inputs: Inputs) -> NDArray[np.float32]:
    """Return (B, O)."""
    rows = len(inputs["domain"])
    with torch.inference_mode():
        found = [program(_chunk(inputs, start)).numpy() for start in range(0, rows, CHUNK)]
    return np.concatenate(found)[:rows] if found else np.zeros((0, 0), np.float32)


def _chunk(inputs: Inputs, start: int) -> Inputs:
    return {name: _filled(tensor[start : start + CHUNK]) for name, tensor in inputs.items()}


def _filled(part: Tensor) -> Tensor:
    if len(part) == CHUNK:
        return part
    return torch.cat([part, part.new_zeros(CHUNK - len(part), *part.shape[1:])])


def inputs_of(batch: pa.RecordBatch, layout: ServingLayout) -> Inputs:
    """The program's inputs from the columns that the layout names (schemas.serving).

    Raises:
        LatticeError: a packed sequence has not the layout's length.
    """
    rows = batch.num_rows
    inputs = {
        "domain": to_array(batch.column("domain_index")).astype(np.int64),
        "categorical": _stacked(rows, [to_array(batch.column(part.column)) for part in layout.categorical], np.int64),
        "dense": _stacked(rows, [to_array(batch.column(part.column)) for part in layout.dense], np.float32),
    }
    for sequence in layout.sequences:
        ids = [_unpacked(batch, part.column, "<i8", sequence.length) for part in sequence.ids]
        numbers = [_unpacked(batch, part.column, "<f4", sequence.length) for part in sequence.dense]
        inputs[f"{sequence.name}/ids"] = _stacked(rows, ids, np.int64, sequence.length)
        inputs[f"{sequence.name}/dense"] = _stacked(rows, numbers, np.float32, sequence.length)
        inputs[f"{sequence.name}/length"] = to_array(batch.column(sequence.length_column)).astype(np.int64)
    return {name: torch.from_numpy(array) for name, array in inputs.items()}


def _stacked(rows: int, parts: list[NDArray[Any]], dtype: type, *inner: int) -> NDArray[Any]:
    return np.stack(parts, axis=-1).astype(dtype) if parts else np.zeros((rows, *inner, 0), dtype)


def _unpacked(batch: pa.RecordBatch, column: str, dtype: str, length: int) -> NDArray[Any]:
    return unpack(column, to_array(batch.column(column)), dtype, length, "Score rows of the model's own layout.")


def _scored(
    batch: pa.RecordBatch, probability_BO: NDArray[np.float32], layout: ServingLayout
) -> Iterator[pa.RecordBatch]:
    domain_B = to_array(batch.column("domain_index"))
    for position, objective in enumerate(layout.objectives):
        own = np.isin(domain_B, [layout.domains.index(domain) for domain in objective.domains])
        rows = np.flatnonzero(own)
        if not rows.size:
            continue
        columns = {name: batch.column(name).take(pa.array(rows)) for name in KEYS}
        columns["objective"] = pa.array([objective.name] * rows.size, pa.string())
        columns["window"] = pa.array([objective.window] * rows.size, pa.string())
        columns["probability"] = pa.array(probability_BO[rows, position], pa.float32())
        columns["model"] = pa.array([layout.model] * rows.size, pa.string())
        yield pa.RecordBatch.from_pydict(columns)
