"""Impressions in the order of time, each with the delay of its conversion: what every way of labelling starts from.

Shapes: R impressions, W windows.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date

import numpy as np
from numpy.typing import NDArray

from lattice_model.loading.rows import Arrays
from lattice_model.network.inputs import Head, Inputs
from schemas.manifest import TrainingManifest

Longs = NDArray[np.int64]
Doubles = NDArray[np.float64]

UNIFORM = "uniform"


@dataclass(frozen=True, kw_only=True)
class Stream:
    """Times are in days since the midnight (UTC) that begins ``started``."""

    started: date
    manifest: TrainingManifest
    """Of the features; its normalisers are those of the split ``test``."""
    arrays: Arrays
    """What ``lattice_model.loading.rows.decode`` gives: all features of all impressions."""
    shown_R: Doubles
    delay_R: Doubles
    """From the impression to its first conversion; infinite if there is none within the longest window."""
    windows: tuple[float, ...]
    """Days, from the shortest."""
    assigned: Mapping[str, Longs]
    """By the name of the Zipper's weights, the position (R,) of the window that each impression is given."""
    probability_R: Doubles | None = None
    """The true probability of a conversion within the longest window, where it is known."""

    @property
    def days(self) -> int:
        return int(self.shown_R.max()) + 1

    @property
    def truth(self) -> Doubles:
        """What is to be predicted (R,): the oracle label, or, where it is known, its expectation: less noise."""
        if self.probability_R is not None:
            return self.probability_R
        return (self.delay_R <= self.windows[-1]).astype(np.float64)

    def inputs(self, heads: int) -> Inputs:
        """Of a network with so many outputs."""
        manifest = self.manifest
        return Inputs(
            domains=manifest.domains,
            categorical=manifest.categorical,
            dense=manifest.dense,
            sequences=manifest.sequences,
            normalisers=manifest.normalisers["test"],
            heads=tuple(
                Head(objective="conversion", window=str(head), objective_index=0, window_index=head)
                for head in range(heads)
            ),
        )


def during(times_R: Doubles, day: int) -> Longs:
    """The positions of the times that lie in a day."""
    return np.flatnonzero((times_R >= day) & (times_R < day + 1))
