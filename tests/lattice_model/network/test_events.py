"""Event sequences: padding, empty sources, order and age."""

from dataclasses import replace

import pytest
import torch

from lattice_model.batch import SequenceBatch
from lattice_model.network.events import MeanEvents, SequenceProcessor
from schemas.manifest import TrainingManifest
from tests.lattice_model.factories import make_batch, make_manifest


@pytest.fixture(scope="module")
def manifest() -> TrainingManifest:
    return make_manifest(sequences=2)


@pytest.fixture(scope="module")
def processor(manifest: TrainingManifest) -> SequenceProcessor:
    torch.manual_seed(0)
    return SequenceProcessor(sources=manifest.sequences, domains=manifest.domains, dim=8, heads=2, layers=1, outputs=3)


def changed_padding(sequence: SequenceBatch, number: float) -> SequenceBatch:
    padding_BN = torch.arange(sequence.ids_BNI.shape[1]) >= sequence.lengths_B[:, None]
    return replace(
        sequence,
        ids_BNI=sequence.ids_BNI.masked_fill(padding_BN[..., None], 13),
        dense_BNE=sequence.dense_BNE.masked_fill(padding_BN[..., None], number),
    )


@pytest.mark.parametrize("number", [77.0, float("nan"), float("inf")])
def test_padding_never_changes_an_output(
    processor: SequenceProcessor, manifest: TrainingManifest, number: float
) -> None:
    batch = make_batch(manifest, 40, seed=1)
    padded = {name: changed_padding(sequence, number) for name, sequence in batch.sequences.items()}
    torch.testing.assert_close(
        processor(padded, batch.domain_B), processor(batch.sequences, batch.domain_B), rtol=0, atol=0
    )


def test_more_places_for_padding_change_nothing(processor: SequenceProcessor, manifest: TrainingManifest) -> None:
    batch = make_batch(manifest, 40, seed=1)
    longer = {
        name: replace(
            sequence,
            ids_BNI=torch.nn.functional.pad(sequence.ids_BNI, (0, 0, 0, 5)),
            dense_BNE=torch.nn.functional.pad(sequence.dense_BNE, (0, 0, 0, 5)),
        )
        for name, sequence in batch.sequences.items()
    }
    torch.testing.assert_close(processor(longer, batch.domain_B), processor(batch.sequences, batch.domain_B))


def test_empty_sources_give_zeros_and_others_do_not(processor: SequenceProcessor, manifest: TrainingManifest) -> None:
    batch = make_batch(manifest, 60, seed=2)
    out = processor(batch.sequences, batch.domain_B).unflatten(1, (2, 3))
    for source, sequence in enumerate(batch.sequences.values()):
        empty_B = sequence.lengths_B == 0
        assert empty_B.any()
        assert (out[empty_B, source] == 0).all()
        assert (out[~empty_B, source].abs().amax(dim=(1, 2)) > 0).all()


def test_a_batch_of_empty_sources_has_finite_gradients(manifest: TrainingManifest) -> None:
    torch.manual_seed(0)
    processor = SequenceProcessor(
        sources=manifest.sequences, domains=manifest.domains, dim=8, heads=2, layers=1, outputs=3
    )
    batch = make_batch(manifest, 8, seed=3)
    empty = {
        name: replace(sequence, lengths_B=torch.zeros_like(sequence.lengths_B))
        for name, sequence in batch.sequences.items()
    }
    processor(empty, batch.domain_B).square().sum().backward()
    assert all(p.grad is None or (p.grad == 0).all() for p in processor.parameters())


def test_a_domain_without_a_source_ignores_what_its_rows_hold(manifest: TrainingManifest) -> None:
    torch.manual_seed(0)
    without = manifest.sequences[0].model_copy(update={"domains": manifest.domains[1:]})
    processor = SequenceProcessor(sources=[without], domains=manifest.domains, dim=8, heads=1, layers=1, outputs=2)
    batch = make_batch(manifest, 30, seed=4)
    out = processor(batch.sequences, batch.domain_B)
    assert (out[batch.domain_B == 0] == 0).all()
    assert (out[batch.domain_B != 0] != 0).any()


@pytest.mark.parametrize("field", [0, 1], ids=["order", "age"])
def test_order_and_age_of_events_matter(processor: SequenceProcessor, manifest: TrainingManifest, field: int) -> None:
    batch = make_batch(manifest, 40, seed=5)
    name, sequence = next(iter(batch.sequences.items()))
    long_B = sequence.lengths_B >= 2
    ids, numbers = sequence.ids_BNI.clone(), sequence.dense_BNE.clone()
    if field == 0:
        ids[:, [0, 1]] = ids[:, [1, 0]]
        numbers[:, [0, 1]] = numbers[:, [1, 0]]
    else:
        numbers[..., 1] *= 20
    other = {**batch.sequences, name: replace(sequence, ids_BNI=ids, dense_BNE=numbers)}
    difference = processor(other, batch.domain_B) - processor(batch.sequences, batch.domain_B)
    assert (difference[long_B, :3].abs().amax(dim=(1, 2)) > 1e-6).all()
    assert (difference[:, 3:] == 0).all()


def test_the_mean_of_events_is_over_the_filled_places() -> None:
    events = torch.tensor([[[1.0, 2.0], [3.0, 6.0], [9.0, 9.0]], [[7.0, 7.0]] * 3])
    means = MeanEvents()(events, torch.tensor([2, 0]))
    torch.testing.assert_close(means, torch.tensor([[[2.0, 4.0]], [[0.0, 0.0]]]))
