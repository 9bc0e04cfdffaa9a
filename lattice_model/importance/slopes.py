"""What a permutation will change, foretold to first order: the slopes of the logits along the tokens.

One backward pass a task, over the rows as they are, serves every feature and permutation. A foretold change is nowhere
reported as it is: it is what the engine compares a sample of measured ones with, and the better it foretells these, the
less the rows that were not measured add to the error (a control variate: Owen 2013, Monte Carlo theory, 8.9).

Shapes: B rows, N tasks of a domain, T tokens, d width of a token.
"""

from collections.abc import Callable, Sequence
from contextlib import ExitStack

import torch
from torch import Tensor, nn

from lattice_model.importance.stand_ins import Swap, WithChanges

_ROWS = 2048
"""Of a backward pass, which holds on to all that lies between tokens and logits."""


Logits = Callable[[Tensor], Tensor]
"""Rows -> their logits as they are, (B, ...), with a gradient."""


class Slopes:
    """Those of the rows of one domain, for the columns of the logits that are its tasks.

    They take as much memory as the tokens do, for each task.

    Args:
        kept: the stand-ins whose tokens the logits come from.
    """

    def __init__(self, logits: Logits, kept: Sequence[WithChanges], rows: slice, columns: Sequence[int]) -> None:
        self._first, self._tasks = rows.start, len(columns)
        found: dict[WithChanges, list[Tensor]] = {}
        for rows_B in torch.arange(rows.start, rows.stop).split(_ROWS):
            for module, slopes_NBTd in _slopes(logits, kept, rows_B, columns).items():
                found.setdefault(module, []).append(slopes_NBTd)
        self._of = {module: torch.cat(parts, 1) for module, parts in found.items()}
        """(N, rows, T, d) each."""

    def logit_changes(self, rows_B: Tensor, swap: Swap) -> Tensor:
        """Foretell (B, N) for rows where the swap takes place; ``swap.places`` are all of them."""
        changes_NB = torch.zeros(self._tasks, len(rows_B))
        for module, slopes_NRTd in self._of.items():
            for columns, change_BTd in module.changes(rows_B, swap):
                slopes_NBTd = slopes_NRTd[:, :, columns].index_select(1, rows_B - self._first)
                changes_NB += torch.linalg.vecdot(slopes_NBTd.flatten(2), change_BTd.flatten(1))
        return changes_NB.T


def _slopes(
    logits: Logits, kept: Sequence[WithChanges], rows_B: Tensor, columns: Sequence[int]
) -> dict[WithChanges, Tensor]:
    """Of each stand-in that the logits come from, (N, B, T, d)."""
    tokens: dict[WithChanges, Tensor] = {}

    def hold(module: nn.Module, _: object, given: Tensor) -> Tensor:
        assert isinstance(module, WithChanges)
        tokens[module] = given.clone().requires_grad_()
        return tokens[module]

    with ExitStack() as hooks:
        for module in kept:
            hooks.enter_context(module.register_forward_hook(hold))
        logits_BO = logits(rows_B)
    every = [
        torch.autograd.grad(
            logits_BO[:, column].sum(), tuple(tokens.values()), retain_graph=True, materialize_grads=True
        )
        for column in columns
    ]
    return {module: torch.stack(slopes) for module, slopes in zip(tokens, zip(*every, strict=True), strict=True)}
