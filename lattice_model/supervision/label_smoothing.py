"""Label smoothing (Müller et al. 2020, "When Does Label Smoothing Help?", section 1; cited by paper 3.4).

Shapes: B impressions, H heads.
"""

from torch import Tensor


def smooth_labels(targets_BH: Tensor, share: float) -> Tensor:
    """Mix every label with an even chance: ``y (1 - share) + share / 2``; NaN stays.

    A model that fits such labels predicts ``p (1 - share) + share / 2`` where ``p`` is the chance of a 1: its
    probabilities of rare events are far too high, though their order is right.
    """
    return targets_BH * (1 - share) + share / 2
