"""From losses to importance: means over permutations, and their standard errors.

A row takes part twice in a permutation: its own loss changes, and its value is given to another row. With f(r, s) the
increase of the loss of row r when it takes the value of row s, a permutation gives the mean of f(r, p(r)), a
statistic of pairs. Its error under another draw of rows and permutations is that of the mean of what each row adds
in both of its parts (the first-order term of Hoeffding's decomposition), summed by user, because the rows of a user are
not independent. What belongs to a pair alone, and shrinks with the repeats, is counted in both parts: the error is too
large by that, by a factor of the square root of 2 at most. That the base rate is drawn too is left out: it scales all
features alike.

Shapes: R rows of one domain, O objectives.
"""

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


class Estimate:
    """One feature's importance to the tasks of one domain; ``add`` takes one permutation after the other.

    Args:
        labelled_RO: 1.0 where a row has a label, else 0.0; each objective has some.
        user_R: a code of the row's user, from 0.
    """

    def __init__(self, labelled_RO: Floats, user_R: Ints) -> None:
        self._labelled_RO, self._user_R = labelled_RO, user_R
        self._count_O = labelled_RO.sum(0)
        self._taken_RO = np.zeros_like(labelled_RO)
        """The row's own increases, summed over permutations."""
        self._given_RO = np.zeros_like(labelled_RO)
        """Those of the rows that took its value."""
        self._givings_RO = np.zeros_like(labelled_RO)
        """How many of those had a label."""
        self.repeats = 0

    def add(self, increase_RO: Floats, donors_R: Ints) -> None:
        """Row r took the value of ``donors_R[r]`` (a permutation); ``increase_RO`` is 0 where there is no label."""
        self._taken_RO += increase_RO
        self._given_RO[donors_R] += increase_RO
        self._givings_RO[donors_R] += self._labelled_RO
        self.repeats += 1

    def means(self) -> Floats:
        """The mean increase of the loss, (O)."""
        means_O: Floats = self._taken_RO.sum(0) / (self._count_O * self.repeats)
        return means_O

    def standard_errors(self) -> Floats:
        """Of the means, (O); 0 where nothing changed."""
        parts = self._labelled_RO * self.repeats + self._givings_RO
        added_RO = self._taken_RO + self._given_RO - parts * self.means()
        users = int(self._user_R.max()) + 1
        by_user = np.stack([np.bincount(self._user_R, added_O, users) for added_O in added_RO.T], axis=1)
        scale = np.sqrt(users / max(users - 1, 1)) / (self._count_O * self.repeats)
        errors_O: Floats = np.sqrt(np.square(by_user).sum(0)) * scale
        return errors_O
