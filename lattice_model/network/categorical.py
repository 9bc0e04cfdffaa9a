"""Categorical features through embedding tables (paper 3.3.1).

Shapes: B impressions, C categorical features, D domains, d width of a token.
"""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn
from torchrec.modules.embedding_configs import EmbeddingBagConfig
from torchrec.modules.embedding_modules import EmbeddingBagCollection
from torchrec.sparse.jagged_tensor import KeyedJaggedTensor

from lattice_model.network.presence import presence
from schemas.manifest import CategoricalInput


class CategoricalProcessor(nn.Module):
    """O_c: one table an id space, shared by its features; one token a feature, zero if absent.

    A feature is absent where its id is, where the row's domain lacks it, and, in training, where ``id_dropout``
    (feature -> probability) strikes. Dropping ids teaches the model to do without ones that it has rarely seen.
    Tokens are ordered by table, then as declared.
    """

    def __init__(
        self,
        *,
        features: Sequence[CategoricalInput],
        domains: Sequence[str],
        dim: int,
        id_dropout: Mapping[str, float],
    ) -> None:
        super().__init__()
        sizes = {feature.id_space: feature.size for feature in features}
        tables = [
            EmbeddingBagConfig(
                name=id_space,
                num_embeddings=size,
                embedding_dim=dim,
                feature_names=[feature.name for feature in features if feature.id_space == id_space],
            )
            for id_space, size in sizes.items()
        ]
        ordered = [feature for id_space in sizes for feature in features if feature.id_space == id_space]
        self.tables = EmbeddingBagCollection(tables=tables)
        self.tokens = len(ordered)
        self.names = [feature.name for feature in ordered]
        self.id_spaces = [feature.id_space for feature in ordered]
        """That of each token."""
        self.dim = dim
        self.present_DC: Tensor
        self.register_buffer("present_DC", presence(ordered, domains), persistent=False)
        self.dropout_C: Tensor
        rates = torch.tensor([id_dropout.get(feature.name, 0.0) for feature in ordered])
        self.register_buffer("dropout_C", rates, persistent=False)

    def forward(self, ids: KeyedJaggedTensor, domain_B: Tensor) -> Tensor:
        """Return (B, C, d)."""
        keep_BC = self.present_DC[domain_B]
        if not self.tokens:
            return keep_BC[..., None].expand(-1, -1, self.dim)
        if self.training:
            keep_BC = keep_BC * (torch.rand_like(keep_BC) >= self.dropout_C)
        return self._look_up(ids).unflatten(-1, (self.tokens, self.dim)) * keep_BC[..., None]

    # How many ids a batch has is data: torch.compile would break its graph at every feature.
    @torch.compiler.disable
    def _look_up(self, ids: KeyedJaggedTensor) -> Tensor:
        found = self.tables(ids)
        # Sharded tables come in an order of their own.
        return found.values() if found.keys() == self.names else torch.cat([found[name] for name in self.names], dim=1)
