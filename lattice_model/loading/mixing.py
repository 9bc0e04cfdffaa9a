"""Which rows of which chunk each batch takes: at random or in order, without looking at any row.

A chunk is a row group, known here by its number and size alone. So an epoch can be entered in its middle: the draws of
the batches before are repeated, and their rows are not read.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from lattice_model.loading.rows import Arrays


class Part(NamedTuple):
    """Rows ``start`` to ``stop`` of a chunk, in the chunk's own order."""

    chunk: int
    start: int
    stop: int


@dataclass(frozen=True)
class Share:
    """Every ``of_so_many``-th row of a chunk, in the chunk's own order, from the one that is the turn of ``number``.

    So the rows of a part, and of any batch, are dealt out among as many processes, to each as many but for one a chunk.
    """

    number: int = 0
    of_so_many: int = 1

    def among(self, chunk: int, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        """Those of a chunk's rows that belong to it."""
        return rows[self._first(chunk) :: self.of_so_many]

    def of(self, part: Part) -> Part:
        """The part as counted among this share's rows of the chunk alone; it may be empty."""
        first = self._first(part.chunk)
        start, stop = (max(0, -(-(end - first) // self.of_so_many)) for end in (part.start, part.stop))
        return Part(part.chunk, start, stop)

    def _first(self, chunk: int) -> int:
        """Its first row of a chunk: chunks begin with the turns of different processes."""
        return (self.number - chunk) % self.of_so_many


class Mixer:
    """An iterator over the batches of one epoch, each the parts that it consists of.

    Every row comes once, ``batch_size`` rows at a time; the last batch may be smaller. With ``rng``, chunks are opened
    in random order, and each batch is drawn without replacement from the open ones, which together hold at least
    ``held`` rows as long as there are that many. A chunk's rows are in an order of its own, drawn when it is opened, so
    that taking a slice of it is a uniform draw. Without ``rng``, chunks and rows keep their order.
    """

    def __init__(self, sizes: Sequence[int], batch_size: int, held: int, rng: np.random.Generator | None) -> None:
        self._sizes = sizes
        self._batch_size = batch_size
        self._held = max(held if rng else 0, batch_size)
        self._rng = rng
        order = np.arange(len(sizes)) if rng is None else rng.permutation(len(sizes))
        self._unopened = [int(number) for number in order if sizes[number]]
        self._opened: list[_Open] = []
        self.orders: dict[int, NDArray[np.int64]] = {}
        """The order of the rows of each chunk that was opened; whoever reads the chunk takes it out."""

    def __iter__(self) -> Iterator[list[Part]]:
        return self

    def __next__(self) -> list[Part]:
        while self._unopened and sum(chunk.left for chunk in self._opened) < self._held:
            self._open(self._unopened.pop(0))
        left = np.array([chunk.left for chunk in self._opened], dtype=np.int64)
        size = min(self._batch_size, int(left.sum()))
        if size == 0:
            raise StopIteration
        counts = self._rng.multivariate_hypergeometric(left, size) if self._rng else _first(left, size)
        parts = [chunk.take(int(count)) for chunk, count in zip(self._opened, counts, strict=True) if count]
        self._opened = [chunk for chunk in self._opened if chunk.left]
        return parts

    def skip(self, batches: int) -> Self:
        """Leave out the next batches."""
        for _ in range(batches):
            next(self, None)
        self.orders = {chunk.number: self.orders[chunk.number] for chunk in self._opened}
        return self

    def to_come(self) -> list[int]:
        """The chunks that the batches to come need, in the order in which they are opened."""
        return [chunk.number for chunk in self._opened] + self._unopened

    def _open(self, number: int) -> None:
        rows = np.arange(self._sizes[number])
        self.orders[number] = rows if self._rng is None else self._rng.permutation(rows)
        self._opened.append(_Open(number, len(rows)))


class Held:
    """The rows of the open chunks, in blocks: one is let go when its last row was taken.

    So in memory are the rows that are left, and of each open chunk less than a block more.
    """

    def __init__(self, block: int) -> None:
        self._block = block
        self._chunks: dict[int, dict[int, Arrays]] = {}
        """By chunk, its blocks by number."""

    def __contains__(self, chunk: int) -> bool:
        return chunk in self._chunks

    @property
    def rows(self) -> int:
        """How many are in memory."""
        return sum(_rows(arrays) for blocks in self._chunks.values() for arrays in blocks.values())

    def put(self, chunk: int, blocks: Sequence[Arrays]) -> None:
        """Hold a chunk: blocks of exactly so many rows, the last one of some."""
        self._chunks[chunk] = dict(enumerate(blocks))

    def take(self, part: Part) -> Iterator[Arrays]:
        """The rows of a part, block by block; those before it are not asked for again."""
        blocks = self._chunks[part.chunk]
        for number in range(part.start // self._block, (part.stop - 1) // self._block + 1):
            start, stop = max(0, part.start - number * self._block), part.stop - number * self._block
            arrays = blocks[number] if stop < _rows(blocks[number]) else blocks.pop(number)
            yield {name: array[start:stop] for name, array in arrays.items()}
        if not blocks:
            del self._chunks[part.chunk]


def _rows(arrays: Arrays) -> int:
    return len(next(iter(arrays.values())))


def _first(left: NDArray[np.int64], size: int) -> NDArray[np.int64]:
    """How many rows each chunk gives if the first ``size`` rows are taken in order."""
    return np.diff(np.minimum(np.cumsum(left), size), prepend=0)


@dataclass
class _Open:
    number: int
    rows: int
    position: int = 0

    @property
    def left(self) -> int:
        return self.rows - self.position

    def take(self, count: int) -> Part:
        start, self.position = self.position, self.position + count
        return Part(self.number, start, self.position)
