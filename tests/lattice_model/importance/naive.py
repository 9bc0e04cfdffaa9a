"""Importance as the textbook has it: permute a column, run the whole model on every row, take the mean loss."""

from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray

from lattice_model.batch import Batch, SequenceBatch
from lattice_model.evaluation.metrics import cross_entropies, entropy
from lattice_model.importance.features import Feature
from lattice_model.importance.permutation import permutation
from lattice_model.network.model import Model
from schemas.manifest import TrainingManifest
from tests.lattice_model.factories import keyed_ids


def naive(
    network: Model, manifest: TrainingManifest, batch: Batch, feature: Feature, *, seed: int, repeats: int
) -> dict[tuple[str, str], float]:
    """(domain, objective) -> increase of NE. The batch's rows are in the order of their impressions."""
    base = _entropies(network, manifest, batch)
    permuted = [
        _entropies(network, manifest, _permuted(batch, manifest, feature, seed, repeat)) for repeat in range(repeats)
    ]
    return {task: float(np.mean([part[task] for part in permuted])) - base[task] for task in base}


def _entropies(network: Model, manifest: TrainingManifest, batch: Batch) -> dict[tuple[str, str], float]:
    with torch.inference_mode():
        probabilities = torch.sigmoid(network(batch)[:, list(manifest.oracle_heads())].double()).numpy()
    labels, found = batch.labels_BO.double().numpy(), {}
    for column, objective in enumerate(manifest.objectives):
        for domain in objective.domains:
            rows = (batch.domain_B.numpy() == manifest.domains.index(domain)) & ~np.isnan(labels[:, column])
            losses = cross_entropies(labels[rows, column], probabilities[rows, column])
            found[domain, objective.name] = float(losses.mean() / entropy(float(labels[rows, column].mean())))
    return found


def _permuted(batch: Batch, manifest: TrainingManifest, feature: Feature, seed: int, repeat: int) -> Batch:
    donors = np.arange(batch.size)
    for position, domain in enumerate(manifest.domains):
        if domain in feature.domains:
            own = np.flatnonzero(batch.domain_B.numpy() == position)
            order = permutation(len(own), seed=seed, feature=feature.name, repeat=repeat, domain=domain)
            donors[own] = own[order]
    ids_BC, dense_BF, sequences = ids_of(batch).numpy(), batch.dense_BF.clone(), dict(batch.sequences)
    for member in feature.members:
        for column, part in enumerate(manifest.categorical):
            if part.name == member:
                ids_BC[:, column] = ids_BC[donors, column]
        for column, number in enumerate(manifest.dense):
            if number.name == member:
                dense_BF[:, column] = dense_BF[donors, column]
        if member in sequences:
            sequences[member] = taken(sequences[member], donors)
    return replace(
        batch,
        categorical=keyed_ids([part.name for part in manifest.categorical], torch.from_numpy(ids_BC)),
        dense_BF=dense_BF,
        sequences=sequences,
    )


def taken(sequence: SequenceBatch, rows: NDArray[np.int64]) -> SequenceBatch:
    return SequenceBatch(
        ids_BNI=sequence.ids_BNI[rows], dense_BNE=sequence.dense_BNE[rows], lengths_B=sequence.lengths_B[rows]
    )


def ids_of(batch: Batch) -> torch.Tensor:
    """(B, C), 0 where there is none."""
    filled_CB = batch.categorical.lengths().view(-1, batch.size) > 0
    ids_CB = torch.zeros_like(filled_CB, dtype=torch.int64)
    ids_CB[filled_CB] = batch.categorical.values()
    return ids_CB.T.contiguous()
