"""Clippy, adaptive clipping of updates (Tang et al. 2023, "Improving Training Stability for Multitask Ranking Models in
Recommender Systems", Algorithm 1; M3C 3.3.1).
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor


def clip_update(before: Tensor, after: Tensor, *, relative: float, absolute: float) -> Tensor:
    """The weights of one parameter, moved from ``before`` towards ``after`` as far as every one of them allows.

    A weight ``w`` may change by ``relative * |w| + absolute``. The whole update is scaled by the largest share, at most
    1, that keeps to this for all weights.
    """
    allowed = relative * before.abs() + absolute
    share = (allowed / (after - before).abs()).min().clamp(max=1)
    return torch.lerp(before, after, share)  # exactly ``after`` where the share is 1


@contextmanager
def clipped_updates(parameters: Sequence[Tensor], *, relative: float, absolute: float) -> Iterator[None]:
    """Clip what happens to the parameters in the ``with`` block, each on its own.

    Departing from the paper, whose updates are Adagrad's, they are those of whichever optimizer runs in the block, its
    decoupled weight decay included.
    """
    moved = [parameter for parameter in parameters if parameter.numel()]
    before = [parameter.detach().clone() for parameter in moved]
    yield
    with torch.no_grad():
        for parameter, old in zip(moved, before, strict=True):
            parameter.copy_(clip_update(old, parameter, relative=relative, absolute=absolute))
