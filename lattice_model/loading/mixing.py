"""Batches of exact size out of chunks of any size, mixed at random or in order."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lattice_model.loading.rows import Arrays


def mix(chunks: Iterable[Arrays], batch_size: int, held: int, rng: np.random.Generator | None) -> Iterator[Arrays]:
    """Yield every row once, ``batch_size`` rows at a time; the last batch may be smaller.

    With ``rng``, each batch is drawn without replacement from the open chunks, which together hold at least ``held``
    rows as long as there are that many. The rows of a chunk are taken in their order, so that only slices are copied:
    the draw is a uniform one if the chunk's own order is random. Without ``rng``, rows keep their order.
    """
    source = iter(chunks)
    opened: list[_Chunk] = []
    more = True
    while True:
        while more and sum(chunk.left for chunk in opened) < max(held if rng else 0, batch_size):
            arrays = next(source, None)
            more = arrays is not None
            opened += [_Chunk(arrays)] if arrays is not None else []
        left = np.array([chunk.left for chunk in opened], dtype=np.int64)
        size = min(batch_size, int(left.sum()))
        if size == 0:
            return
        counts = rng.multivariate_hypergeometric(left, size) if rng else _first(left, size)
        parts = [chunk.take(int(count)) for chunk, count in zip(opened, counts, strict=True) if count]
        yield {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
        opened = [chunk for chunk in opened if chunk.left]


def _first(left: NDArray[np.int64], size: int) -> NDArray[np.int64]:
    """How many rows each chunk gives if the first ``size`` rows are taken in order."""
    return np.diff(np.minimum(np.cumsum(left), size), prepend=0)


@dataclass
class _Chunk:
    arrays: Arrays
    position: int = 0

    @property
    def left(self) -> int:
        return len(next(iter(self.arrays.values()))) - self.position

    def take(self, count: int) -> Arrays:
        start, self.position = self.position, self.position + count
        return {name: array[start : self.position] for name, array in self.arrays.items()}
