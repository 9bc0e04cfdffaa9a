"""Which row gives its value to which: known from the seed and names alone, whoever asks and in what order."""

import hashlib

import numpy as np
from numpy.typing import NDArray


def permutation(rows: int, *, seed: int, feature: str, repeat: int, domain: str) -> NDArray[np.int64]:
    """A random permutation of ``rows`` positions: row i takes the value of row ``result[i]``."""
    named = repr((seed, feature, repeat, domain)).encode()
    entropy = int.from_bytes(hashlib.sha256(named).digest(), "little")
    return np.random.default_rng(entropy).permutation(rows)
