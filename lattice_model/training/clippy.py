"""Clippy, adaptive clipping of updates (Tang et al. 2023, "Improving Training Stability for Multitask Ranking Models in
Recommender Systems", Algorithm 1; M3C 3.3.1).
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed.tensor import DTensor


def allowed_share(before: Tensor, after: Tensor, *, relative: float, absolute: float) -> Tensor:
    """The largest share of the way from ``before`` to ``after``, at most 1, that every weight allows; a scalar.

    A weight ``w`` may change by ``relative * |w| + absolute``.
    """
    if not before.numel():
        return before.new_ones(())
    allowed = relative * before.abs() + absolute
    return (allowed / (after - before).abs()).min().clamp(max=1)


def clip_update(before: Tensor, after: Tensor, *, relative: float, absolute: float) -> Tensor:
    """The weights of one parameter, moved from ``before`` towards ``after`` as far as every one of them allows."""
    share = allowed_share(before, after, relative=relative, absolute=absolute)
    return torch.lerp(before, after, share)  # exactly ``after`` where the share is 1


@contextmanager
def clipped_updates(parameters: Sequence[Tensor], *, relative: float, absolute: float) -> Iterator[None]:
    """Clip what happens to the parameters in the ``with`` block, each on its own.

    Departing from the paper, whose updates are Adagrad's, they are those of whichever optimizer runs in the block, its
    decoupled weight decay included. Of a sharded parameter all processes take the share that all its weights allow.
    """
    moved = [_here(parameter) for parameter in parameters if parameter.numel()]
    before = [weights.clone() for weights in moved]
    yield
    with torch.no_grad():
        shares = [
            allowed_share(old, new, relative=relative, absolute=absolute)
            for old, new in zip(before, moved, strict=True)
        ]
        if any(isinstance(parameter, DTensor) for parameter in parameters):
            dist.all_reduce(least := torch.stack(shares), dist.ReduceOp.MIN)
            shares = list(least)
        for new, old, share in zip(moved, before, shares, strict=True):
            new.copy_(torch.lerp(old, new, share))


def _here(parameter: Tensor) -> Tensor:
    """The weights of it that lie in this process, in its own memory."""
    weights = parameter.detach()
    return weights.to_local() if isinstance(weights, DTensor) else weights
