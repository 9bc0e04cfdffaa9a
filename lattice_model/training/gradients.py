"""From the parts of a loss to the gradient of every parameter: of their sum, or balanced by MetaBalance."""

from collections.abc import Sequence

from torch import Tensor

from lattice_model.network.inputs import Head
from lattice_model.network.model import Model
from lattice_model.supervision.masked_bce import HeadLosses
from lattice_model.supervision.metabalance import MetaBalance
from lattice_model.training.config import TrainingConfig
from schemas.errors import LatticeError


class Gradients:
    """Sets ``grad`` of a network's parameters, once a call.

    The tasks that MetaBalance balances are the objectives, each with all its windows, as portfolios of one group share
    them (paper 3.3.5), and the correlation loss, which is auxiliary (M3C 3.1.1). What they share is all but the heads.
    """

    def __init__(self, network: Model, config: TrainingConfig) -> None:
        self._balance = None
        if config.metabalance is not None:
            self._objectives = _target_first(network.config.inputs.heads, config.metabalance)
            self._own = list(network.tasks.parameters())
            own = {id(parameter) for parameter in self._own}
            self._balance = MetaBalance(
                tasks=len(self._objectives) + (config.correlation_weight > 0),
                shared=[parameter for parameter in network.parameters() if id(parameter) not in own],
                relax=config.metabalance_relax,
                decay=config.metabalance_decay,
            )

    def state(self) -> list[Tensor]:
        """What the next call depends on."""
        return self._balance.state() if self._balance else []

    def restore(self, state: Sequence[Tensor]) -> None:
        """Go on from where ``state`` was asked for."""
        if self._balance:
            self._balance.restore(state)

    def __call__(self, losses: HeadLosses, auxiliary: Sequence[Tensor], ranks: int = 1) -> None:
        """``auxiliary`` losses are added to the cross-entropy as they are, or are tasks of their own.

        With several ``ranks``, whose gradients' mean is taken where the sum is meant, all is multiplied by them.
        """
        if self._balance is None:
            (sum(auxiliary, losses.total) * ranks).backward()
        else:
            objectives = [losses.part_H[heads].sum() for heads in self._objectives]
            self._balance.backward([*objectives, *auxiliary], self._own)


def _target_first(heads: Sequence[Head], target: str) -> list[list[int]]:
    """The positions of each objective's heads; those of the target objective come first."""
    names = list(dict.fromkeys(head.objective for head in heads))
    if target not in names:
        raise LatticeError(
            "the training setting metabalance",
            f"The group has no objective '{target}'.",
            f"Name one of {', '.join(names)}.",
        )
    names.sort(key=lambda name: name != target)
    return [[position for position, head in enumerate(heads) if head.objective == name] for name in names]
