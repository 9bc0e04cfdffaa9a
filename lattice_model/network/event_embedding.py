"""Events of sequences as embeddings, one an event (paper 3.3.1).

Shapes: B impressions, N events of a source, I id fields, E number fields, D domains, S sources, d width of a token.
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torchrec.distributed.types import Awaitable
from torchrec.modules.embedding_configs import EmbeddingConfig
from torchrec.modules.embedding_modules import EmbeddingCollection
from torchrec.sparse.jagged_tensor import KeyedJaggedTensor

from lattice_model.batch import SequenceBatch
from lattice_model.network.presence import presence
from lattice_model.network.scaling import signed_log
from schemas.manifest import SequenceInput

AGE = "age"
"""The number field that holds an event's age in days; it is also coded by log-spaced buckets."""
AGE_BUCKETS = 32
_HOUR, _THREE_YEARS = 1 / 24, 1096.0


class EventFields(nn.Module):
    """The sum of an event's ids' embeddings, a linear image of its numbers' signed logs and, if the source has ``age``,
    its age bucket's embedding; if ``encoded``, a vector of the source's own too, the type of all its events."""

    def __init__(self, *, numbers: Sequence[str], dim: int, encoded: bool) -> None:
        super().__init__()
        self.age_field = numbers.index(AGE) if AGE in numbers else None
        self.numbers = nn.Linear(len(numbers), dim, bias=False) if numbers else None
        if self.age_field is not None:
            self.age = nn.Embedding(AGE_BUCKETS, dim)
            nn.init.normal_(self.age.weight, std=0.1)
            bounds = torch.logspace(math.log10(_HOUR), math.log10(_THREE_YEARS), AGE_BUCKETS - 1)
            self.age_bounds: Tensor
            self.register_buffer("age_bounds", bounds, persistent=False)
        self.type_d = nn.Parameter(torch.randn(dim) * 0.1) if encoded else None

    def forward(self, ids_BNd: Tensor, dense_BNE: Tensor) -> Tensor:
        """Return (B, N, d); ``ids_BNd`` is the sum of the embeddings of an event's ids."""
        events_BNd = ids_BNd
        if self.numbers is not None:
            events_BNd = events_BNd + self.numbers(signed_log(dense_BNE))
        if self.age_field is not None:
            age_BN = dense_BNE[..., self.age_field].contiguous()
            events_BNd = events_BNd + self.age(torch.bucketize(age_BN, self.age_bounds))
        if self.type_d is not None:
            events_BNd = events_BNd + self.type_d
        return events_BNd


class EventEmbedder(nn.Module):
    """The events of every source.

    Ids are looked up in one TorchRec collection, a table an id space. These tables are the events' own: the same id
    means different things as the subject of an impression and as a past event.
    """

    def __init__(
        self, *, sources: Sequence[SequenceInput], domains: Sequence[str], dim: int, encoded: bool = False
    ) -> None:
        super().__init__()
        self.names = [source.name for source in sources]
        self.keys = [[f"{source.name}.{part.field}" for part in source.ids] for source in sources]
        self.dim = dim
        sizes = {part.id_space: part.size for source in sources for part in source.ids}
        self.tables = EmbeddingCollection(
            tables=[
                EmbeddingConfig(
                    name=id_space,
                    num_embeddings=size,
                    embedding_dim=dim,
                    feature_names=[
                        key
                        for source, keys in zip(sources, self.keys, strict=True)
                        for part, key in zip(source.ids, keys, strict=True)
                        if part.id_space == id_space
                    ],
                )
                for id_space, size in sizes.items()
            ]
        )
        self.fields = nn.ModuleList(
            EventFields(numbers=[part.field for part in source.dense], dim=dim, encoded=encoded) for source in sources
        )
        self.present_DS: Tensor
        self.register_buffer("present_DS", presence(sources, domains), persistent=False)

    def forward(self, sequences: dict[str, SequenceBatch], domain_B: Tensor) -> list[tuple[Tensor, Tensor]]:
        """Return for each source (B, N, d) and how many places are filled (B): none where the domain lacks it."""
        if not self.names:
            return []
        batches = [sequences[name] for name in self.names]
        present_BS = self.present_DS[domain_B].long()
        return [
            (fields(ids_BNd, batch.dense_BNE), batch.lengths_B * present_B)
            for fields, ids_BNd, batch, present_B in zip(
                self.fields, self._look_up(batches), batches, present_BS.unbind(1), strict=True
            )
        ]

    @torch.compiler.disable  # as in CategoricalProcessor
    def _look_up(self, batches: Sequence[SequenceBatch]) -> list[Tensor]:
        """For each source (B, N, d), its id fields' embeddings added up; places of padding included."""
        ids = [part_BN for batch in batches for part_BN in batch.ids_BNI.unbind(-1)]
        lengths = [torch.full((part_BN.shape[0],), part_BN.shape[1], device=part_BN.device) for part_BN in ids]
        found = self.tables(
            KeyedJaggedTensor(
                keys=[key for keys in self.keys for key in keys],
                values=torch.cat([part_BN.reshape(-1) for part_BN in ids]),
                lengths=torch.cat(lengths),
            )
        )
        if isinstance(found, Awaitable):  # sharded tables: the events are still on their way
            found = found.wait()
        return [
            torch.stack([found[key].values().view(*batch.ids_BNI.shape[:2], self.dim) for key in keys]).sum(0)
            for keys, batch in zip(self.keys, batches, strict=True)
        ]
