"""A step against the same one written out here, and what each setting changes in it."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.optim import AdamW
from torch.optim.optimizer import register_optimizer_step_pre_hook
from torchrec.optim.rowwise_adagrad import RowWiseAdagrad

from lattice_model.loader import Loader
from lattice_model.network import LatticeNetwork
from lattice_model.supervision.correlation import correlation_loss
from lattice_model.supervision.label_smoothing import smooth_labels
from lattice_model.supervision.masked_bce import head_targets, masked_bce
from lattice_model.training.config import TrainingConfig
from lattice_model.training.optimizers import dense_parameters, table_parameters
from lattice_model.training.step import Step
from schemas.errors import LatticeError
from tests.lattice_model.factories import make_batch
from tests.lattice_model.tables import make_table, write_files
from tests.lattice_model.training.runs import MANIFEST, NETWORK, network

BATCHES = [make_batch(MANIFEST, 48, seed) for seed in range(5)]


def config(**changes: Any) -> TrainingConfig:
    return TrainingConfig.model_validate({"learning_rate": 1e-2, "warmup": 0.0, "schedule": "constant", **changes})


def stepped(training: TrainingConfig, batches: int = 5) -> LatticeNetwork:
    """A network after so many steps; its dropout draws the same numbers every time."""
    model = network()
    step = Step(model, training, steps=batches, device=torch.device("cpu"))
    with torch.random.fork_rng():
        torch.manual_seed(3)
        for number, batch in enumerate(BATCHES[:batches]):
            step([batch], number + 1)
    return model


def written_out(smoothing: float = 0.0, correlation: float = 0.0) -> LatticeNetwork:
    """The same steps: cross-entropy, clipping by norm, AdamW and row-wise Adagrad."""
    model = network()
    dense, heads = dense_parameters(model), model.config.inputs.heads
    adam = AdamW(
        [
            {"params": [part for part in dense if part.ndim >= 2], "weight_decay": 1e-2},
            {"params": [part for part in dense if part.ndim < 2], "weight_decay": 0.0},
        ],
        lr=1e-2,
    )
    adagrad = RowWiseAdagrad(table_parameters(model), lr=2e-2)
    with torch.random.fork_rng():
        torch.manual_seed(3)
        for batch in BATCHES:
            logits = model(batch)
            targets = head_targets(batch.labels_BO, batch.window_B, heads)
            if smoothing:
                targets = smooth_labels(targets, smoothing)
            loss = masked_bce(logits, targets, weight_B=batch.weight_B).total
            if correlation:
                loss = loss + correlation * correlation_loss(logits, targets, batch.weight_B)
            model.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(dense, 1.0)
            adam.step()
            adagrad.step()
    return model


def weights(model: LatticeNetwork) -> list[Tensor]:
    return [part.detach() for part in model.parameters()]


def same(first: LatticeNetwork, second: LatticeNetwork) -> bool:
    return all(torch.equal(*pair) for pair in zip(weights(first), weights(second), strict=True))


def test_the_defaults_are_plain_cross_entropy_bit_for_bit() -> None:
    assert same(stepped(config()), written_out())


def test_smoothing_and_correlation_are_parts_of_what_is_minimised() -> None:
    assert same(stepped(config(label_smoothing=0.1)), written_out(smoothing=0.1))
    assert same(stepped(config(correlation_weight=0.5)), written_out(correlation=0.5))
    assert not same(written_out(), written_out(smoothing=0.1))
    assert not same(written_out(), written_out(correlation=0.5))


def test_the_loss_that_is_told_is_the_cross_entropy() -> None:
    plain, correlated = (
        Step(network(), config(correlation_weight=weight), steps=1, device=torch.device("cpu")) for weight in (0.0, 1.0)
    )
    with torch.random.fork_rng():
        torch.manual_seed(3)
        _, expected = plain(BATCHES[:1], 1)
        torch.manual_seed(3)
        _, told = correlated(BATCHES[:1], 1)
    assert told == expected


def test_clippy_lets_an_update_through_that_is_small_and_holds_one_that_is_large() -> None:
    """A first step of AdamW moves a weight by about the learning rate, whatever the gradient's norm."""
    allowed = {"clipping": "clippy", "clippy_relative": 0.0, "weight_decay": 0.0}
    free = stepped(config(**allowed, clippy_absolute=10.0), 1)
    assert same(free, stepped(config(clip_norm=1e9, weight_decay=0.0), 1))
    held = stepped(config(**allowed, clippy_absolute=1e-4), 1)
    start = network()
    dense = [dense_parameters(model) for model in (start, free, held)]
    moved = [max((a - b).abs().max().item() for a, b in zip(dense[0], part, strict=True)) for part in dense[1:]]
    assert moved == pytest.approx([1e-2, 1e-4], rel=1e-3)
    tables = [table_parameters(model) for model in (free, held)]
    assert all(torch.equal(*pair) for pair in zip(*tables, strict=True))


@pytest.mark.parametrize("correlation", [0.0, 2.0])
def test_metabalance_without_scaling_is_the_plain_step(correlation: float) -> None:
    """With relax 0 the gradients are those of the sum, but for the order of additions."""
    plain = stepped(config(correlation_weight=correlation), 1)
    summed, scaled = (
        stepped(config(correlation_weight=correlation, metabalance="buy", metabalance_relax=relax), 1)
        for relax in (0.0, 1.0)
    )
    for name, expected in plain.named_parameters():
        torch.testing.assert_close(summed.get_parameter(name), expected, rtol=1e-3, atol=1e-5, msg=name)
    assert not same(plain, scaled)


@pytest.mark.parametrize("target", ["click", "buy"])
def test_metabalance_gives_objectives_the_target_s_norm_in_shared_parameters(target: str) -> None:
    """In a first batch, and with relax 1, the sum is that of gradients with the target's norm, computed one by one."""
    model = network().eval()
    batch = replace(BATCHES[0], labels_BO=BATCHES[0].labels_BO.clone())
    batch.labels_BO[:, 2] = torch.nan  # no labels of the third objective
    heads = model.config.inputs.heads
    targets = head_targets(batch.labels_BO, batch.window_B, heads)
    found = {}
    for position, objective in enumerate(("click", "buy")):
        others = [h for h, head in enumerate(heads) if head.objective_index != position]
        only = targets.clone()
        only[:, others] = torch.nan
        share = (~only.isnan()).sum() / (~targets.isnan()).sum()
        model.zero_grad()
        (masked_bce(model(batch), only).total * share).backward()
        found[objective] = {n: torch.zeros_like(p) if p.grad is None else p.grad for n, p in model.named_parameters()}
        model.zero_grad(set_to_none=True)
    training = config(metabalance=target, metabalance_relax=1.0, clip_norm=1e9)
    step = Step(model, training, steps=1, device=torch.device("cpu"))
    gradients: dict[str, Tensor] = {}
    hook = register_optimizer_step_pre_hook(
        lambda *_: gradients.update({n: p.grad.clone() for n, p in model.named_parameters() if p.grad is not None})
    )
    step([batch], 1)
    hook.remove()
    assert gradients
    for name, gradient in gradients.items():
        parts = {objective: found[objective][name] for objective in found}
        norm = parts[target].norm()
        if not name.startswith("tasks.") and norm > 0:
            parts = {o: part * norm / part.norm() if part.norm() > 0 else part for o, part in parts.items()}
        torch.testing.assert_close(gradient, sum(parts.values(), torch.zeros(())), rtol=1e-3, atol=1e-6, msg=name)


def test_the_target_of_metabalance_is_an_objective_of_the_group() -> None:
    with pytest.raises(LatticeError, match="no objective 'bye'") as caught:
        stepped(config(metabalance="bye"), 0)
    assert "click, buy, redeem" in caught.value.remedy


def test_metabalance_cannot_be_compiled() -> None:
    with pytest.raises(LatticeError, match="one backward pass"):
        config(metabalance="buy", compile=True)


@pytest.mark.parametrize("balance", ["labels", "heads"])
@pytest.mark.parametrize("clipping", ["norm", "clippy"])
def test_accumulated_batches_are_one_large_batch(tmp_path: Path, balance: str, clipping: str) -> None:
    """Of 96 rows of weights 1 and 4, as one batch and as three and a rest; weights agree to 1e-5."""
    files = write_files(make_table(MANIFEST, 96), tmp_path)
    settings = config(balance=balance, clipping=clipping)
    hyper = NETWORK.hyper.model_copy(update={"dropout": 0.0})  # its draws would differ
    found = []
    for size in (96, 28):
        batches = [loaded.batch for loaded in Loader(files, MANIFEST, batch_size=size, shuffle=False).epoch()]
        assert len(batches) == -(-96 // size)
        with torch.random.fork_rng():
            torch.manual_seed(0)
            model = LatticeNetwork(NETWORK.model_copy(update={"hyper": hyper}))
        step = Step(model, settings, steps=3, device=torch.device("cpu"))
        losses = [step(batches, number) for number in (1, 2, 3)]
        found.append((model, losses))
    (large, expected), (parts, added) = found
    for (whole, loss), (summed, total) in zip(expected, added, strict=True):
        assert total == pytest.approx(loss, rel=1e-5)
        torch.testing.assert_close(summed.mean_H, whole.mean_H, rtol=1e-4, atol=1e-6)
        torch.testing.assert_close(summed.labels_H, whole.labels_H)
    for one, other in zip(weights(large), weights(parts), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)
    assert not same(large, network())


@pytest.mark.parametrize("setting", [{"correlation_weight": 0.1}, {"metabalance": "buy"}])
def test_what_is_no_sum_over_rows_cannot_be_accumulated(setting: dict[str, Any]) -> None:
    with pytest.raises(LatticeError, match="no sum over its parts"):
        config(accumulate=2, **setting)
