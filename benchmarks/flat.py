"""Rows for a model that takes a flat vector of features: the loader's batches, with sequences summed up.

Shapes: R rows (B of a batch), F features, C categorical ones, O objectives, N places of a sequence.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lattice_model.batch import Batch
from lattice_model.loading.columns import Array
from lattice_model.loading.rows import Arrays, Loaded
from schemas.manifest import SequenceInput, TrainingManifest


@dataclass(frozen=True, kw_only=True)
class FlatRows:
    """``features_RF``: the ``categorical`` folded ids first, then dense values (NaN: unknown), then sequences."""

    features_RF: NDArray[np.float32]
    names: tuple[str, ...]
    categorical: tuple[str, ...]
    domain_R: NDArray[np.int64]
    window_R: NDArray[np.int64]
    labels_RO: NDArray[np.float64]
    weight_R: NDArray[np.float32]
    keys: Arrays


def flat_rows(batches: Iterable[Loaded], manifest: TrainingManifest, left_out: Sequence[str] = ()) -> FlatRows:
    """All rows of the batches; ``left_out`` names categorical features to do without."""
    kept = [index for index, part in enumerate(manifest.categorical) if part.name not in left_out]
    features, domains, windows, labels, weights, keys = [], [], [], [], [], []
    for batch, extra, _ in batches:
        features.append(_features(batch, manifest, kept))
        domains.append(batch.domain_B.numpy())
        windows.append(batch.window_B.numpy())
        labels.append(batch.labels_BO.double().numpy())
        weights.append(batch.weight_B.numpy())
        keys.append(extra)
    categorical = tuple(manifest.categorical[index].name for index in kept)
    summaries = [f"{part.name}_{name}" for part in manifest.sequences for name in _summary_names(part, manifest)]
    return FlatRows(
        features_RF=np.concatenate(features),
        names=(*categorical, *(part.name for part in manifest.dense), *summaries),
        categorical=categorical,
        domain_R=np.concatenate(domains),
        window_R=np.concatenate(windows),
        labels_RO=np.concatenate(labels),
        weight_R=np.concatenate(weights),
        keys={name: np.concatenate([extra[name] for extra in keys]) for name in keys[0]},
    )


def summarise(
    ids_BNI: NDArray[np.int64],
    numbers_BNE: NDArray[np.float32],
    lengths_B: NDArray[np.int64],
    matched: Sequence[tuple[int, NDArray[np.int64]]],
) -> NDArray[np.float32]:
    """A sequence as numbers, in the order of ``_summary_names``: (B, 1 + E + 2 for each match).

    Its length, the mean of each number over its events (NaN without any), and for each match, a position of an id
    field and ids (B,) of the impression, how many events hold that id and the place of the newest one (NaN: none).
    """
    filled_BN = np.arange(ids_BNI.shape[1]) < lengths_B[:, None]
    counts_B1 = np.where(lengths_B > 0, lengths_B, np.nan)[:, None]
    columns: list[Array] = [lengths_B[:, None], np.where(filled_BN[..., None], numbers_BNE, 0).sum(1) / counts_B1]
    for field, own_B in matched:
        same_BN = filled_BN & (ids_BNI[..., field] == own_B[:, None]) & (own_B != 0)[:, None]
        newest_B = np.where(same_BN.any(1), same_BN.argmax(1), np.nan)
        columns += [same_BN.sum(1, keepdims=True), newest_B[:, None]]
    return np.concatenate(columns, axis=1).astype(np.float32)


def _matches(sequence: SequenceInput, manifest: TrainingManifest) -> list[tuple[int, int]]:
    """Id fields of the sequence and categorical features that share an id space, as positions."""
    return [
        (field, feature)
        for field, part in enumerate(sequence.ids)
        for feature, own in enumerate(manifest.categorical)
        if own.id_space == part.id_space
    ]


def _summary_names(sequence: SequenceInput, manifest: TrainingManifest) -> list[str]:
    names = ["length", *(f"mean_{part.field}" for part in sequence.dense)]
    for field, feature in _matches(sequence, manifest):
        pair = f"{sequence.ids[field].field}_as_{manifest.categorical[feature].name}"
        names += [f"count_{pair}", f"newest_{pair}"]
    return names


def _features(batch: Batch, manifest: TrainingManifest, kept: list[int]) -> NDArray[np.float32]:
    ids_CB = np.zeros(len(manifest.categorical) * len(batch.domain_B), dtype=np.int64)
    ids_CB[batch.categorical.lengths().numpy() == 1] = batch.categorical.values().numpy()
    ids_BC = ids_CB.reshape(len(manifest.categorical), -1).T
    parts = [ids_BC[:, kept].astype(np.float32), batch.dense_BF.numpy()]
    for sequence in manifest.sequences:
        found = batch.sequences[sequence.name]
        matched = [(field, ids_BC[:, feature]) for field, feature in _matches(sequence, manifest)]
        parts.append(summarise(found.ids_BNI.numpy(), found.dense_BNE.numpy(), found.lengths_B.numpy(), matched))
    return np.concatenate(parts, axis=1)
