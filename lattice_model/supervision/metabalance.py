"""MetaBalance (He et al. 2022, "MetaBalance: Improving Multi-Task Recommendations via Adapting Gradient Magnitudes of
Auxiliary Tasks", Algorithm 1; paper 3.3.5, M3C 3.1.1).

Shapes: T tasks, P shared parameters.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn


class MetaBalance:
    """Scales each auxiliary task's gradient towards the norm of the target's, parameter by parameter, and adds up.

    ``g <- relax * g * m_target / m_task + (1 - relax) * g``, where m are moving averages of the gradient's norm in that
    parameter. Departing from the paper, whose tasks have labels in every batch, a norm of 0 leaves its average as it
    was, and averages are corrected for their start at 0, which cancels out where both have seen as many batches. A
    gradient is not scaled before its own norm and the target's were seen.
    """

    def __init__(self, *, tasks: int, shared: Sequence[nn.Parameter], relax: float, decay: float) -> None:
        self._shared = tuple(shared)
        self._relax = relax
        self._decay = decay
        self._mean_TP = torch.zeros(tasks, len(self._shared), device=self._shared[0].device)
        self._filled_TP = torch.zeros_like(self._mean_TP)
        """What a mean would be if all norms were 1."""

    def state(self) -> list[Tensor]:
        """The averages so far."""
        return [self._mean_TP, self._filled_TP]

    def restore(self, state: Sequence[Tensor]) -> None:
        """Go on from averages that ``state`` gave."""
        self._mean_TP, self._filled_TP = (average.to(self._mean_TP.device) for average in state)

    def backward(self, losses: Sequence[Tensor], own: Sequence[nn.Parameter]) -> None:
        """Set ``grad``, balanced in the shared parameters and that of the losses' sum in the tasks' ``own`` ones.

        The first loss is the target's. It takes one backward pass a loss.
        """
        for parameter in (*self._shared, *own):
            parameter.grad = None
        for task, loss in enumerate(losses):
            found = torch.autograd.grad(
                loss, [*self._shared, *own], retain_graph=task < len(losses) - 1, allow_unused=True
            )
            scale_P = self._scale(task, found[: len(self._shared)])
            for parameter, gradient, scale in zip(self._shared, found, scale_P, strict=False):
                _add(parameter, gradient, scale)
            for parameter, gradient in zip(own, found[len(self._shared) :], strict=True):
                _add(parameter, gradient, 1.0)

    def _scale(self, task: int, gradients: Sequence[Tensor | None]) -> Tensor:
        """Take the norms of a task's gradients into their averages; return what to multiply each with."""
        zero = self._mean_TP.new_zeros(())
        norm_P = torch.stack([zero if gradient is None else gradient.norm() for gradient in gradients])
        seen_P = norm_P > 0
        for average_TP, value_P in ((self._mean_TP, norm_P), (self._filled_TP, torch.ones_like(norm_P))):
            average_TP[task] = torch.where(seen_P, average_TP[task].lerp(value_P, 1 - self._decay), average_TP[task])
        m_TP = self._mean_TP / self._filled_TP
        relaxed_P = self._relax * m_TP[0] / m_TP[task] + (1 - self._relax)
        return torch.where((self._filled_TP[0] > 0) & (self._filled_TP[task] > 0), relaxed_P, 1.0)


def _add(parameter: nn.Parameter, gradient: Tensor | None, scale: Tensor | float) -> None:
    if gradient is not None:
        scaled = gradient * scale
        parameter.grad = scaled if parameter.grad is None else parameter.grad.add_(scaled)
