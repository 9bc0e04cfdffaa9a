"""A made-up group with as many features as a real one, and rows of it: for measuring what does not depend on data."""

from datetime import UTC, datetime

import numpy as np
import torch

from lattice_model.export.serving import Inputs
from schemas.manifest import (
    CategoricalInput,
    DenseInput,
    Normaliser,
    ObjectiveLabel,
    SequenceId,
    SequenceInput,
    SequenceNumber,
    TrainingManifest,
)

DOMAINS, WINDOWS = ("feed", "search", "mail"), ("1d", "7d", "28d")
_KNOTS = tuple(np.linspace(-3, 3, 21).tolist())


def make_manifest(
    *, ids: int = 20, numbers: int = 130, events: int = 50, table_size: int = 100_000, tables: int = 10
) -> TrainingManifest:
    """So many ids, numbers, and one sequence of so many events with two ids and three numbers each; seven heads."""
    every = DOMAINS
    normaliser = Normaliser(mean=0.0, std=1.0, quantiles=_KNOTS, known=0.9)
    dense = tuple(DenseInput(name=f"number_{i}", column=f"number_{i}", domains=every) for i in range(numbers))
    moment = {"validation": datetime(2024, 3, 1, tzinfo=UTC), "test": datetime(2024, 4, 1, tzinfo=UTC)}
    return TrainingManifest(
        space="made_up",
        group="all",
        domains=every,
        windows=WINDOWS,
        objectives=(
            ObjectiveLabel(name="click", column="label_click", windows=(), domains=every),
            ObjectiveLabel(name="buy", column="label_buy", windows=WINDOWS, domains=every),
            ObjectiveLabel(name="redeem", column="label_redeem", windows=WINDOWS, domains=every),
        ),
        categorical=tuple(
            CategoricalInput(
                name=f"id_{i}", column=f"id_{i}", id_space=f"space_{i % tables}", size=table_size, domains=every
            )
            for i in range(ids)
        ),
        dense=dense,
        sequences=(
            SequenceInput(
                name="events",
                length=events,
                length_column="events_length",
                ids=(
                    SequenceId(field="item", column="events_item", id_space="space_0", size=table_size),
                    SequenceId(field="kind", column="events_kind", id_space="kind", size=20),
                ),
                dense=tuple(
                    SequenceNumber(field=field, column=f"events_{field}") for field in ("amount", "price", "age")
                ),
                domains=every,
            ),
        ),
        normalisers={split: {part.name: normaliser for part in dense} for split in moment},
        cuts=moment,
        tables={},
        fingerprint="made up",
    )


def make_inputs(manifest: TrainingManifest, rows: int, seed: int = 1) -> Inputs:
    """Random rows as an exported program takes them: a tenth of ids absent and of numbers unknown."""
    rng = np.random.default_rng(seed)

    def hashes(*shape: int) -> torch.Tensor:
        found = rng.integers(-(2**63), 2**63 - 1, shape)
        return torch.from_numpy(np.where(rng.random(shape) < 0.1, 0, found))

    dense = rng.normal(size=(rows, len(manifest.dense))).astype(np.float32)
    dense[rng.random(dense.shape) < 0.1] = np.nan
    inputs = {
        "domain": torch.from_numpy(rng.integers(0, len(manifest.domains), rows)),
        "categorical": hashes(rows, len(manifest.categorical)),
        "dense": torch.from_numpy(dense),
    }
    for sequence in manifest.sequences:
        lengths = rng.integers(0, sequence.length + 1, rows)
        filled = torch.from_numpy(np.arange(sequence.length) < lengths[:, None])[..., None]
        numbers = rng.exponential(5.0, (rows, sequence.length, len(sequence.dense))).astype(np.float32)
        inputs[f"{sequence.name}/ids"] = hashes(rows, sequence.length, len(sequence.ids)) * filled
        inputs[f"{sequence.name}/dense"] = torch.from_numpy(numbers) * filled
        inputs[f"{sequence.name}/length"] = torch.from_numpy(lengths)
    return inputs
