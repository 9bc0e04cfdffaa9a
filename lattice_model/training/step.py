"""One step of training: loss parts, gradients, clipping, update (paper 3.3.5, 3.5).

Shapes: B impressions, H heads.
"""

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor, nn
from torch.distributed.tensor import DTensor
from torch.nn.utils import clip_grads_with_norm_, get_total_norm
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR
from torchrec.optim.keyed import KeyedOptimizer

from lattice_model.batch import Batch
from lattice_model.network.model import Model
from lattice_model.supervision.correlation import correlation_loss
from lattice_model.supervision.label_smoothing import smooth_labels
from lattice_model.supervision.masked_bce import HeadLosses, count_labels, head_targets, masked_bce
from lattice_model.training.clippy import clipped_updates
from lattice_model.training.config import TrainingConfig
from lattice_model.training.distributed.group import ALONE, Group
from lattice_model.training.encoding import Tree
from lattice_model.training.gradients import Gradients
from lattice_model.training.optimizer_state import optimizer_state, restore_optimizer
from lattice_model.training.optimizers import build_optimizers, dense_parameters
from lattice_model.training.schedule import learning_rate_share
from lattice_model.training.sparse_tables import name_rows
from schemas.errors import LatticeError


class Step:
    """Updates a network's parameters, once a call; ``sharded`` is the network as the group's processes share it."""

    def __init__(
        self,
        network: Model,
        config: TrainingConfig,
        steps: int,
        device: torch.device,
        group: Group = ALONE,
        sharded: nn.Module | None = None,
    ) -> None:
        self._heads = network.config.inputs.heads
        self._group = group
        trained = network if sharded is None else sharded
        self._dense = dense_parameters(trained)
        self._config = config
        self._device = device
        self._differentiate = Gradients(network, config)
        if sharded is None and config.metabalance is None:  # which adds up whole gradients
            name_rows(network, network.config.inputs, config.batch_size)
        self._model: nn.Module = torch.compile(trained) if config.compile else trained  # type: ignore[assignment]
        self._optimizers: list[Optimizer] = build_optimizers(trained, config)
        self._schedules = [
            LambdaLR(optimizer, lambda step: learning_rate_share(step, steps, config)) for optimizer in self._optimizers
        ]
        self._begin()

    @property
    def learning_rate(self) -> float:
        """Of the dense parameters, in the step to come."""
        return float(self._schedules[0].get_last_lr()[0])

    def state(self) -> Tree:
        """What the next call depends on, beside the network's weights."""
        return {
            "optimizers": [optimizer_state(optimizer) for optimizer in self._optimizers],
            "schedules": [schedule.state_dict() for schedule in self._schedules],
            "gradients": self._differentiate.state(),
        }

    def restore(self, state: Tree) -> None:
        """Go on from where ``state`` was asked for."""
        for optimizer, saved in zip(self._optimizers, state["optimizers"], strict=True):
            restore_optimizer(optimizer, saved)
        for optimizer, schedule, saved in zip(self._optimizers, self._schedules, state["schedules"], strict=True):
            schedule.load_state_dict(_own_rates(saved, schedule) if isinstance(optimizer, KeyedOptimizer) else saved)
            for group, rate in zip(optimizer.param_groups, schedule.get_last_lr(), strict=True):
                group["lr"] = rate
        self._differentiate.restore(state["gradients"])
        self._begin()

    def begin_with(self, state: Tree) -> None:
        """Take over what an earlier run's optimizers had gathered, and nothing of its settings or schedule."""
        for optimizer, saved in zip(self._optimizers, state["optimizers"], strict=True):
            groups = [
                {**own, **{name: value for name, value in before.items() if name not in own}}
                for own, before in zip(optimizer_state(optimizer)["param_groups"], saved["param_groups"], strict=True)
            ]
            restore_optimizer(optimizer, {**saved, "param_groups": groups})
        self._differentiate.restore(state["gradients"])

    def __call__(self, batches: Sequence[Batch], number: int) -> tuple[HeadLosses, float]:
        """Return the cross-entropy, by head and in all, before the update; ``number`` is the step's, for messages.

        Several batches give the gradient of one that has all their rows, but for the order of additions, with the
        memory of the largest; and so do the batches of the group's processes together.
        """
        targets = [self._targets(batch) for batch in batches]
        own_H = torch.stack(
            [count_labels(part, batch.weight_B) for part, batch in zip(targets, batches, strict=True)]
        ).sum(0)
        whole_H = self._group.sum(own_H.to(self._device))
        parts = []
        for batch, targets_BH in zip(batches, targets, strict=True):
            losses, auxiliary = self._losses(batch.to(self._device), targets_BH.to(self._device), whole_H)
            self._differentiate(losses, auxiliary, self._group.ranks)
            parts.append(HeadLosses(*(part.detach() for part in losses)))
        losses = self._together(HeadLosses(*(torch.stack(values).sum(0) for values in zip(*parts, strict=True))))
        norm = self._clip()
        loss = losses.total.item()
        if not torch.isfinite(losses.total + norm):
            raise LatticeError(
                f"training, step {number}",
                f"The loss ({loss}) or its gradient ({norm.item()}) is no finite number.",
                "Lower learning_rate or embedding_learning_rate, lengthen warmup, or set bf16 to false.",
            )
        self._update()
        return losses, loss

    def _targets(self, batch: Batch) -> Tensor:
        """What each head is to predict, (B, H)."""
        targets_BH = head_targets(batch.labels_BO, batch.window_B, self._heads)
        return smooth_labels(targets_BH, self._config.label_smoothing) if self._config.label_smoothing else targets_BH

    def _losses(self, batch: Batch, targets_BH: Tensor, whole_H: Tensor) -> tuple[HeadLosses, list[Tensor]]:
        """Return the cross-entropy, and the other losses, weighted."""
        config = self._config
        with torch.autocast(self._device.type, dtype=torch.bfloat16, enabled=config.bf16):
            logits_BH = self._model(batch)
        losses = masked_bce(
            logits_BH,
            targets_BH,
            balance=config.balance,
            weight_B=batch.weight_B,
            whole_H=whole_H.to(self._device),
        )
        if not config.correlation_weight:
            return losses, []
        return losses, [config.correlation_weight * correlation_loss(logits_BH, targets_BH, batch.weight_B)]

    def _together(self, losses: HeadLosses) -> HeadLosses:
        """Those of all processes: sums, as each divides by the labels of all."""
        sizes = [part.numel() for part in losses]
        parts = self._group.sum(torch.cat([part.view(-1) for part in losses])).split(sizes)
        return HeadLosses(*(part.view_as(own) for part, own in zip(parts, losses, strict=True)))

    def _clip(self) -> Tensor:
        """Return the norm of the dense parameters' gradient, before it was clipped if it is."""
        sharded = [part for part in self._dense if isinstance(part, DTensor)]
        replicated = [part for part in self._dense if not isinstance(part, DTensor)]
        norms = [
            get_total_norm([part.grad for part in parts if part.grad is not None]) for parts in (replicated, sharded)
        ]
        whole = [norm.full_tensor() if isinstance(norm, DTensor) else norm for norm in norms]
        norm = get_total_norm(whole) if sharded else whole[0]
        if self._config.clipping == "norm":
            for parts in (replicated, sharded):
                clip_grads_with_norm_(parts, self._config.clip_norm, norm)
        return norm

    def _update(self) -> None:
        with self._clipped_updates():
            for optimizer in self._optimizers:
                optimizer.step()
        for schedule in self._schedules:
            schedule.step()
        self._begin()

    def _begin(self) -> None:
        """Make ready for the next backward pass: a fused optimizer takes the learning rate that it updates with."""
        for optimizer in self._optimizers:
            optimizer.zero_grad(set_to_none=True)

    def _clipped_updates(self) -> AbstractContextManager[None]:
        config = self._config
        if config.clipping == "norm":
            return nullcontext()
        return clipped_updates(self._dense, relative=config.clippy_relative, absolute=config.clippy_absolute)


def _own_rates(saved: Tree, schedule: LambdaLR) -> Tree:
    """The saved state of a fused optimizer's schedule for the tables, as many or as few, that lie in this process."""
    shares = [share(saved["last_epoch"]) for share in schedule.lr_lambdas]
    rates = [base * share for base, share in zip(schedule.base_lrs, shares, strict=True)]
    return {**saved, "base_lrs": schedule.base_lrs, "lr_lambdas": [None] * len(rates), "_last_lr": rates}
