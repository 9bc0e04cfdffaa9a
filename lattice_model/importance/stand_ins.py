"""What takes the place of a model's feature processors while features are permuted.

A processor's tokens of the rows as they are have been computed once and are kept. Where features are permuted within a
domain a row's token is the kept one of the row that gives its value, as a token depends on the value and the domain
alone; dense features that share tokens change these by the difference of what the two values add to them. So no
processor runs again, and everything behind the processors runs as it is, whatever the model.

Shapes: R rows, B places of a batch, T tokens, F dense features, w hidden units a feature, N events, S sources, d width.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from copy import deepcopy
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from lattice_model.importance.rows import Rows
from lattice_model.network.categorical import CategoricalProcessor
from lattice_model.network.dense import DenseProcessor, SharedTokens
from lattice_model.network.event_embedding import EventEmbedder
from lattice_model.network.events import SequenceProcessor
from lattice_model.network.model import Model


@dataclass(frozen=True)
class Swap:
    """In the ``places`` of a batch the features take their values from the rows ``donors``, one a place."""

    features: tuple[str, ...]
    places: slice
    donors: Tensor


@dataclass
class Pick:
    """Which rows a batch holds, and what is swapped in it: what the stand-ins of one model give next."""

    rows_B: Tensor
    swaps: tuple[Swap, ...] = ()


class WithChanges(nn.Module, ABC):
    """A stand-in that says how a swap changes its tokens."""

    @abstractmethod
    def changes(self, rows_B: Tensor, swap: Swap) -> Iterator[tuple[slice, Tensor]]:
        """For rows, a donor each: which tokens change, and by how much, (B, tokens, d); nothing if none do."""


class KeptTokens(WithChanges):
    """Stands in for a processor with tokens of each feature's own, in the columns ``columns`` (feature -> which)."""

    def __init__(self, pick: Pick, tokens_RTd: Tensor, columns: Mapping[str, slice]) -> None:
        super().__init__()
        self.pick, self.tokens_RTd, self.columns = pick, tokens_RTd, columns
        self.tokens = tokens_RTd.shape[1]

    def forward(self, *_: object) -> Tensor:
        """Return (B, T, d)."""
        tokens_BTd = self.tokens_RTd[self.pick.rows_B]
        for swap in self.pick.swaps:
            for column in (self.columns[name] for name in swap.features if name in self.columns):
                tokens_BTd[swap.places, column] = self.tokens_RTd[:, column][swap.donors]
        return tokens_BTd

    def changes(self, rows_B: Tensor, swap: Swap) -> Iterator[tuple[slice, Tensor]]:
        for column in (self.columns[name] for name in swap.features if name in self.columns):
            tokens_RTd = self.tokens_RTd[:, column]
            yield column, tokens_RTd[swap.donors] - tokens_RTd[rows_B]


class KeptSum(WithChanges):
    """Stands in for a dense processor whose features share tokens."""

    def __init__(
        self,
        pick: Pick,
        tokens_RTd: Tensor,
        processor: DenseProcessor,
        shared: SharedTokens,
        rows: Rows,
    ) -> None:
        super().__init__()
        self.pick, self.tokens_RTd = pick, tokens_RTd
        self.tokens = tokens_RTd.shape[1]
        self.columns = {part.name: i for i, part in enumerate(rows.manifest.dense)}
        self.processor, self.shared = processor, shared
        self.dense_FR, self.domain_R = rows.dense(), rows.domain_R

    def forward(self, *_: object) -> Tensor:
        """Return (B, T, d)."""
        tokens_BTd = self.tokens_RTd[self.pick.rows_B]
        for swap in self.pick.swaps:
            for columns, change_BTd in self.changes(self.pick.rows_B[swap.places], swap):
                tokens_BTd[swap.places, columns] += change_BTd
        return tokens_BTd

    def changes(self, rows_B: Tensor, swap: Swap) -> Iterator[tuple[slice, Tensor]]:
        features = [self.columns[name] for name in swap.features if name in self.columns]
        if features:
            change_FBw = self._hidden(swap.donors, features) - self._hidden(rows_B, features)
            yield slice(None), self.shared.share(change_FBw, features)

    def _hidden(self, rows_B: Tensor, features: list[int]) -> Tensor:
        return self.processor.hidden(self.dense_FR[features][:, rows_B].T, self.domain_R[rows_B], features)


class KeptEvents(nn.Module):
    """Stands in for what embeds events; ``kept`` has each source's events (R, N, d) and how many there are (R)."""

    def __init__(self, pick: Pick, kept: list[tuple[Tensor, Tensor]], names: list[str]) -> None:
        super().__init__()
        self.pick, self.kept, self.names = pick, kept, names

    def forward(self, *_: object) -> list[tuple[Tensor, Tensor]]:
        """Return for each source (B, N, d) and (B)."""
        return [self._source(name, *kept) for name, kept in zip(self.names, self.kept, strict=True)]

    def _source(self, name: str, events_RNd: Tensor, lengths_R: Tensor) -> tuple[Tensor, Tensor]:
        taken_B = self.pick.rows_B.clone()
        for swap in self.pick.swaps:
            if name in swap.features:
                taken_B[swap.places] = swap.donors
        return events_RNd[taken_B], lengths_R[taken_B]


def stand_in(network: Model, pick: Pick, rows: Rows) -> Model:
    """A copy of the network that shares its weights and takes its features from ``pick``."""
    memo: dict[int, object] = {id(kept): kept for kept in (*network.parameters(), *network.buffers())}
    with torch.inference_mode():
        memo |= {id(module): _kept(module, pick, rows) for module in _processors(network)}
    return deepcopy(network, memo)


def _processors(module: nn.Module) -> list[nn.Module]:
    """The outermost ones."""
    if isinstance(module, CategoricalProcessor | DenseProcessor | SequenceProcessor | EventEmbedder):
        return [module]
    return [found for child in module.children() for found in _processors(child)]


def _kept(module: nn.Module, pick: Pick, rows: Rows) -> nn.Module:
    manifest, batches = rows.manifest, rows.batches

    def every(tokens: Callable[[int], Tensor]) -> Tensor:
        return torch.cat([tokens(i) for i in range(len(batches))])[rows.read_R]

    if isinstance(module, CategoricalProcessor):
        names = [name for table in module.tables.embedding_bag_configs() for name in table.feature_names]
        tokens_RTd = every(lambda i: module(batches[i].categorical, batches[i].domain_B))
        return KeptTokens(pick, tokens_RTd, _columns(names, 1))
    if isinstance(module, SequenceProcessor):
        names = module.events.names
        tokens_RTd = every(lambda i: module(batches[i].sequences, batches[i].domain_B))
        return KeptTokens(pick, tokens_RTd, _columns(names, module.tokens // max(len(names), 1)))
    if isinstance(module, DenseProcessor):
        names = [part.name for part in manifest.dense]
        tokens_RTd = every(lambda i: module(batches[i].dense_BF, batches[i].domain_B))
        if isinstance(module.out, SharedTokens):
            return KeptSum(pick, tokens_RTd, module, module.out, rows)
        return KeptTokens(pick, tokens_RTd, _columns(names, 1))
    assert isinstance(module, EventEmbedder)
    parts = [module(batch.sequences, batch.domain_B) for batch in batches]
    kept = [
        (torch.cat([part[0] for part in source])[rows.read_R], torch.cat([part[1] for part in source])[rows.read_R])
        for source in zip(*parts, strict=True)
    ]
    return KeptEvents(pick, kept, module.names)


def _columns(names: list[str], width: int) -> dict[str, slice]:
    return {name: slice(i * width, (i + 1) * width) for i, name in enumerate(names)}
