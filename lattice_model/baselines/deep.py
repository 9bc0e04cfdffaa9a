"""The deep part that most baselines have: linear layers with ReLU and dropout."""

from collections.abc import Sequence

from torch import nn


def deep(features: int, widths: Sequence[int], dropout: float) -> nn.Sequential:
    """An MLP from (B, features) to (B, widths[-1]), with an activation after every layer."""
    layers: list[nn.Module] = []
    for before, width in zip([features, *widths[:-1]], widths, strict=True):
        layers += [nn.Linear(before, width), nn.ReLU(), nn.Dropout(dropout)]
    return nn.Sequential(*layers)
