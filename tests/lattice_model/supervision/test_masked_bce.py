"""Routing of labels to heads, and the loss, against loops written out here."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from lattice_model.network.inputs import inputs_from
from lattice_model.supervision.masked_bce import Balance, HeadLosses, count_labels, head_targets, masked_bce
from tests.lattice_model.factories import make_batch, make_manifest

NAN = float("nan")
HEADS = inputs_from(make_manifest(), "test").heads


def test_a_label_goes_to_the_head_of_its_window_and_an_immediate_one_always() -> None:
    labels = torch.tensor([[1.0, 0.0, NAN], [NAN, 1.0, 1.0], [0.0, 1.0, 0.0]])
    targets = head_targets(labels, torch.tensor([0, 2, -1]), HEADS)
    expected = [
        [1.0, 0.0, NAN, NAN, NAN, NAN, NAN],
        [NAN, NAN, NAN, 1.0, NAN, NAN, 1.0],
        [0.0, NAN, NAN, NAN, NAN, NAN, NAN],
    ]
    torch.testing.assert_close(targets, torch.tensor(expected), equal_nan=True)


def test_every_label_trains_at_most_one_head_of_its_objective() -> None:
    batch = make_batch(make_manifest(), 300, seed=0)
    targets = head_targets(batch.labels_BO, batch.window_B, HEADS)
    for objective in range(3):
        columns = [h for h, head in enumerate(HEADS) if head.objective_index == objective]
        learned = (~targets[:, columns].isnan()).sum(1)
        assert learned.max() == 1
        assert torch.equal(learned == 1, ~batch.labels_BO[:, objective].isnan())


@pytest.mark.parametrize("balance", ["labels", "heads"])
@pytest.mark.parametrize("weighted", [False, True])
def test_loss_equals_a_sum_over_labels_written_out(balance: Balance, weighted: bool) -> None:
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(20, 4, generator=generator)
    targets = (torch.rand(20, 4, generator=generator) < 0.3).float()
    targets[torch.rand(20, 4, generator=generator) < 0.6] = NAN
    targets[:, 2] = NAN
    weights = [0.5, 2.0, 7.0, 1.0] if weighted else [1.0] * 4
    sums, counts = [0.0] * 4, [0] * 4
    for row in range(20):
        for head in range(4):
            y = targets[row, head].item()
            if not math.isnan(y):
                p = 1 / (1 + math.exp(-logits[row, head].item()))
                sums[head] -= y * math.log(p) + (1 - y) * math.log(1 - p)
                counts[head] += 1
    if balance == "labels":
        expected = sum(w * s for w, s in zip(weights, sums, strict=True)) / sum(counts)
    else:
        expected = sum(w * s / n for w, s, n in zip(weights, sums, counts, strict=True) if n) / 3
    losses = masked_bce(logits, targets, torch.tensor(weights) if weighted else None, balance)
    assert losses.total.item() == pytest.approx(expected, rel=1e-5)
    assert losses.part_H.sum().item() == pytest.approx(expected, rel=1e-5)
    only = targets.clone()
    only[:, 1:] = NAN
    share = sum(counts) / counts[0] if balance == "labels" else 3
    alone = masked_bce(logits, only, torch.tensor(weights) if weighted else None, balance).total.item()
    assert losses.part_H[0].item() == pytest.approx(alone / share, rel=1e-5)
    assert losses.labels_H.tolist() == counts
    means = [s / n if n else 0.0 for s, n in zip(sums, counts, strict=True)]
    assert losses.mean_H.tolist() == pytest.approx(means, rel=1e-5)


@pytest.mark.parametrize("balance", ["labels", "heads"])
def test_a_row_of_weight_3_counts_as_three_rows(balance: Balance) -> None:
    generator = torch.Generator().manual_seed(2)
    logits = torch.randn(8, 3, generator=generator, requires_grad=True)
    targets = (torch.rand(8, 3, generator=generator) < 0.4).float()
    targets[torch.rand(8, 3, generator=generator) < 0.4] = NAN
    weights = torch.tensor([1.0, 3.0, 1.0, 1.0, 2.0, 1.0, 3.0, 1.0])
    once = masked_bce(logits, targets, balance=balance, weight_B=weights)
    times = weights.long()
    repeated = masked_bce(
        logits.repeat_interleave(times, 0), targets.repeat_interleave(times, 0), balance=balance
    )  # fmt: skip
    torch.testing.assert_close(once, repeated)
    (first,) = torch.autograd.grad(once.total, logits)
    (second,) = torch.autograd.grad(repeated.total, logits)
    torch.testing.assert_close(first, second)


@pytest.mark.parametrize("balance", ["labels", "heads"])
def test_the_gradient_is_the_error_where_there_is_a_label_and_zero_elsewhere(balance: Balance) -> None:
    """Closed form: d BCE / d logit = sigmoid(logit) - y."""
    logits = torch.randn(6, 3, generator=torch.Generator().manual_seed(1), requires_grad=True)
    targets = torch.tensor([[1.0, NAN, NAN], [0.0, 1.0, NAN], [NAN, 0.0, NAN]] * 2)
    masked_bce(logits, targets, balance=balance).total.backward()
    error = torch.where(targets.isnan(), 0.0, logits.detach().sigmoid() - targets.nan_to_num(0.0))
    scale = torch.tensor(8.0) if balance == "labels" else torch.tensor([4.0, 4.0, 1.0]) * 2
    torch.testing.assert_close(logits.grad, error / scale)


@pytest.mark.parametrize("balance", ["labels", "heads"])
def test_a_batch_without_labels_costs_nothing(balance: Balance) -> None:
    logits = torch.randn(5, 3, requires_grad=True)
    losses = masked_bce(logits, torch.full((5, 3), NAN), balance=balance)
    losses.total.backward()
    assert losses.total.item() == 0
    assert logits.grad is not None and not logits.grad.any()


def test_extreme_and_half_precision_logits_give_a_finite_float32_loss() -> None:
    logits = torch.tensor([[-300.0, 300.0]]).bfloat16()
    losses = masked_bce(logits, torch.tensor([[1.0, 0.0]]))
    assert losses.total.dtype == torch.float32
    assert losses.total.item() == 300.0


@given(st.integers(0, 500), st.integers(1, 39), st.sampled_from(["labels", "heads"]), st.booleans())
def test_the_losses_of_parts_of_a_batch_add_up_to_its_own(
    seed: int, cut: int, balance: Balance, weighted: bool
) -> None:
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(40, 3, generator=generator)
    targets = (torch.rand(40, 3, generator=generator) < 0.3).float()
    targets[torch.rand(40, 3, generator=generator) < 0.8] = NAN
    weights = torch.randint(1, 5, (40,), generator=generator).float() if weighted else None
    whole = masked_bce(logits, targets, balance=balance, weight_B=weights)
    total = count_labels(targets, weights)
    parts = [
        masked_bce(
            logits[rows],
            targets[rows],
            balance=balance,
            weight_B=None if weights is None else weights[rows],
            whole_H=total,
        )
        for rows in (slice(0, cut), slice(cut, 40))
    ]
    added = HeadLosses(*(first + second for first, second in zip(*parts, strict=True)))
    for found, expected in zip(added, whole, strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-6)
