"""Embedding look-ups in plain tensor operations, in the place of TorchRec's collections while a model is exported.

TorchRec looks up as many ids as a batch has, which is data; an exported program knows shapes alone. Here every row has
every id, and 0 stands for one that is absent. The results are the same, bit for bit.

Shapes: B impressions, N events of a source, d width of a token.
"""

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import nn
from torchrec.modules.embedding_modules import EmbeddingBagCollection, EmbeddingCollection
from torchrec.sparse.jagged_tensor import JaggedTensor, KeyedJaggedTensor, KeyedTensor

from lattice_model.network.categorical import CategoricalProcessor
from lattice_model.network.event_embedding import EventEmbedder


class PlainBags(nn.Module):
    """An ``EmbeddingBagCollection`` for one id a feature and row."""

    def __init__(self, tables: EmbeddingBagCollection) -> None:
        super().__init__()
        configs = tables.embedding_bag_configs()
        self.features = [(feature, config.name) for config in configs for feature in config.feature_names]
        self.dim = configs[0].embedding_dim
        self.weights = nn.ParameterDict({c.name: tables.embedding_bags[c.name].weight for c in configs})

    def forward(self, ids: KeyedJaggedTensor) -> KeyedTensor:
        """``ids`` has B values a key; the result is (B, d) a key, zero where the id is 0."""
        found = dict(zip(ids.keys(), ids.values().view(len(ids.keys()), -1).unbind(), strict=True))
        looked_up = [
            torch.where((found[feature] != 0)[:, None], F.embedding(found[feature], self.weights[table]), 0.0)
            for feature, table in self.features
        ]
        return KeyedTensor(
            [feature for feature, _ in self.features], [self.dim] * len(looked_up), torch.cat(looked_up, dim=1)
        )


class PlainSequences(nn.Module):
    """An ``EmbeddingCollection`` for sequences of one length a key."""

    def __init__(self, tables: EmbeddingCollection, lengths: Mapping[str, int]) -> None:
        super().__init__()
        configs = tables.embedding_configs()
        self.tables = {feature: config.name for config in configs for feature in config.feature_names}
        self.lengths = dict(lengths)
        self.weights = nn.ParameterDict({c.name: tables.embeddings[c.name].weight for c in configs})

    def forward(self, ids: KeyedJaggedTensor) -> dict[str, JaggedTensor]:
        """``ids`` has B N values a key; the result is (B N, d) a key."""
        keys = ids.keys()
        rows = ids.lengths().shape[0] // len(keys)
        parts = ids.values().split([rows * self.lengths[key] for key in keys])
        return {
            key: JaggedTensor(F.embedding(part, self.weights[self.tables[key]]), lengths=ids.lengths()[:rows])
            for key, part in zip(keys, parts, strict=True)
        }


def replace_tables(network: nn.Module, lengths: Mapping[str, int]) -> None:
    """Put plain look-ups in the place of every collection; ``lengths`` has that of each ``<sequence>.<field>``."""
    for module in list(network.modules()):
        if isinstance(module, CategoricalProcessor) and module.tokens:
            module.tables = PlainBags(module.tables)
        if isinstance(module, EventEmbedder) and module.names:
            module.tables = PlainSequences(module.tables, lengths)
