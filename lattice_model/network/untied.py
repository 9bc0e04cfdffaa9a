"""Parameter untying: weights of their own for each domain, or group of domains (paper 3.3.3, 3.3.4, 5.3).

Shapes: B impressions, D domains.
"""

from collections.abc import Sequence
from copy import deepcopy

import torch
from torch import Tensor, nn


def domain_groups(domains: Sequence[str], groups: Sequence[Sequence[str]] | None) -> list[int]:
    """The group of each domain: its position in ``groups``, those named nowhere together; None for one a domain."""
    if groups is None:
        return list(range(len(domains)))
    named = {domain: position for position, group in enumerate(groups) for domain in group}
    return [named.get(domain, len(groups)) for domain in domains]


class Untied(nn.Module):
    """A module in copies, one a group; each row goes through its group's copy, and so does its gradient.

    The copies start alike: training begins as if they were tied. A row costs what it costs in the module itself, but
    in an exported program, whose sizes may not depend on data: there every copy takes every row.
    """

    def __init__(self, module: nn.Module, group_D: Sequence[int]) -> None:
        super().__init__()
        places = sorted(set(group_D))
        self.copies = nn.ModuleList([module, *(deepcopy(module) for _ in places[1:])])
        self.group_D: Tensor
        self.register_buffer("group_D", torch.tensor([places.index(group) for group in group_D]), persistent=False)

    def forward(self, domain_B: Tensor, *inputs: Tensor | Sequence[Tensor]) -> Tensor:
        """Return what the module returns; ``inputs`` are its own, with the rows first."""
        group_B = self.group_D[domain_B]
        if torch.compiler.is_exporting():
            found, *others = (copy(*inputs) for copy in self.copies)
            for group, output in enumerate(others, start=1):
                own_B = (group_B == group).view(-1, *[1] * (found.ndim - 1))
                found = torch.where(own_B, output, found)
            return found
        rows = [torch.nonzero(group_B == group).squeeze(1) for group in range(len(self.copies))]
        outputs = [copy(*(_take(value, own) for value in inputs)) for copy, own in zip(self.copies, rows, strict=True)]
        return torch.cat(outputs)[torch.argsort(torch.cat(rows))]


def _take(value: Tensor | Sequence[Tensor], rows: Tensor) -> Tensor | list[Tensor]:
    return value[rows] if isinstance(value, Tensor) else [part[rows] for part in value]
