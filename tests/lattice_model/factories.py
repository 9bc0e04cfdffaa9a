"""Manifests and batches that agree with each other, for tests of everything that takes a batch."""

from collections.abc import Sequence
from datetime import UTC, datetime

import numpy as np
import torch
from numpy.typing import NDArray
from torchrec.sparse.jagged_tensor import KeyedJaggedTensor

from lattice_model.batch import Batch, SequenceBatch
from schemas.manifest import (
    CategoricalInput,
    DenseInput,
    Normaliser,
    ObjectiveLabel,
    PinnedTable,
    SequenceId,
    SequenceInput,
    SequenceNumber,
    TrainingManifest,
)

NORMALISER = Normaliser(mean=0.5, std=1.5, quantiles=(-4.0, -1.0, -0.3, 0.0, 0.4, 1.0, 2.0, 7.0), known=0.9)
WINDOWS = ("1d", "7d", "28d")


def make_manifest(
    *,
    domains: Sequence[str] = ("web", "app", "mail"),
    categorical: int = 5,
    dense: int = 6,
    sequences: int = 1,
    length: int = 8,
    numbers: Sequence[str] = ("amount", "age"),
    windows: Sequence[str] = WINDOWS,
    table_size: int = 50,
) -> TrainingManifest:
    """A manifest with ids, numbers and sequences in every domain except as said here.

    ``id_<i>`` share the space ``item`` in pairs (0 and 1, 2 and 3, ...: ``item_0``, ``item_1``, ...). With several
    domains the last categorical and the last dense feature lack the first domain; ``redeem`` exists in the last alone.
    Objectives: ``click`` (immediate), and with windows ``buy`` and ``redeem``.
    """
    later = tuple(domains[1:]) or tuple(domains)
    split_of = {"validation": datetime(2024, 3, 1, tzinfo=UTC), "test": datetime(2024, 4, 1, tzinfo=UTC)}
    names = [f"number_{i}" for i in range(dense)]
    objectives = [ObjectiveLabel(name="click", column="label_click", windows=(), domains=tuple(domains))]
    if windows:
        objectives += [
            ObjectiveLabel(name="buy", column="label_buy", windows=tuple(windows), domains=tuple(domains)),
            ObjectiveLabel(name="redeem", column="label_redeem", windows=tuple(windows), domains=(domains[-1],)),
        ]
    return TrainingManifest(
        space="made_up",
        group="all",
        domains=tuple(domains),
        windows=tuple(windows),
        objectives=tuple(objectives),
        categorical=tuple(
            CategoricalInput(
                name=f"id_{i}",
                column=f"id_{i}",
                id_space=f"item_{i // 2}",
                size=table_size + i // 2,
                domains=later if i == categorical - 1 else tuple(domains),
            )
            for i in range(categorical)
        ),
        dense=tuple(
            DenseInput(name=name, column=name, domains=later if i == dense - 1 else tuple(domains))
            for i, name in enumerate(names)
        ),
        sequences=tuple(
            SequenceInput(
                name=f"events_{i}",
                length=length,
                length_column=f"events_{i}_length",
                ids=(
                    SequenceId(field="item", column=f"events_{i}_item", id_space="item_0", size=table_size),
                    SequenceId(field="kind", column=f"events_{i}_kind", id_space="kind", size=20),
                ),
                dense=tuple(SequenceNumber(field=field, column=f"events_{i}_{field}") for field in numbers),
                domains=tuple(domains),
            )
            for i in range(sequences)
        ),
        normalisers={"validation": dict.fromkeys(names, NORMALISER), "test": dict.fromkeys(names, NORMALISER)},
        cuts=split_of,
        tables={"training": PinnedTable(uri="training", version=0, rows=1000)},
        fingerprint="made up",
    )


def make_batch(manifest: TrainingManifest, size: int, seed: int) -> Batch:
    """A random batch as the loader would yield it: a tenth of ids absent, of numbers unknown, of sequences empty.

    An objective has labels (a quarter positive) in its own domains and, with windows, in the windows that it uses;
    a feature that a row's domain lacks is 0.
    """
    rng = np.random.default_rng(seed)
    domain_B = rng.integers(0, len(manifest.domains), size)
    window_B = rng.integers(0, len(manifest.windows), size) if manifest.windows else np.full(size, -1)

    def in_domains(domains: Sequence[str]) -> NDArray[np.bool_]:
        return np.isin(domain_B, [manifest.domains.index(domain) for domain in domains])

    ids_BC = np.stack(
        [
            rng.integers(1, part.size, size) * (rng.random(size) > 0.1) * in_domains(part.domains)
            for part in manifest.categorical
        ],
        axis=1,
    ) if manifest.categorical else np.zeros((size, 0), dtype=np.int64)  # fmt: skip
    dense_BF = rng.normal(0.0, 3.0, (size, len(manifest.dense)))
    dense_BF[rng.random(dense_BF.shape) < 0.1] = np.nan
    for position, part in enumerate(manifest.dense):
        dense_BF[~in_domains(part.domains), position] = 0.0
    labels_BO = (rng.random((size, len(manifest.objectives))) < 0.25).astype(np.float32)
    for position, objective in enumerate(manifest.objectives):
        used = [manifest.windows.index(window) for window in objective.windows]
        labelled = in_domains(objective.domains) & (np.isin(window_B, used) if used else True)
        labels_BO[~labelled, position] = np.nan
    sequences = {}
    for sequence in manifest.sequences:
        lengths_B = rng.integers(1, sequence.length + 1, size) * (rng.random(size) > 0.1) * in_domains(sequence.domains)
        filled_BN = np.arange(sequence.length) < lengths_B[:, None]
        ids_BNI = np.stack([rng.integers(1, part.size, filled_BN.shape) for part in sequence.ids], axis=2)
        numbers_BNE = rng.exponential(5.0, (*filled_BN.shape, len(sequence.dense)))
        sequences[sequence.name] = SequenceBatch(
            ids_BNI=torch.from_numpy(ids_BNI * filled_BN[:, :, None]),
            dense_BNE=torch.from_numpy(numbers_BNE * filled_BN[:, :, None]).float(),
            lengths_B=torch.from_numpy(lengths_B),
        )
    return Batch(
        categorical=keyed_ids([part.name for part in manifest.categorical], torch.from_numpy(ids_BC)),
        dense_BF=torch.from_numpy(dense_BF).float(),
        sequences=sequences,
        domain_B=torch.from_numpy(domain_B),
        window_B=torch.from_numpy(window_B),
        labels_BO=torch.from_numpy(labels_BO),
        weight_B=torch.ones(size),
    )


def keyed_ids(names: Sequence[str], ids_BC: torch.Tensor) -> KeyedJaggedTensor:
    """Ids by feature, 0 as absent (a length of 0)."""
    ids_CB = ids_BC.T
    return KeyedJaggedTensor(keys=list(names), values=ids_CB[ids_CB > 0], lengths=(ids_CB > 0).long().reshape(-1))
