"""BST (Chen et al. 2019, "Behavior Sequence Transformer", sections 2.1 to 2.3).

Shapes: B impressions, N events of a source, K outputs of it, M non-sequence tokens, C categorical ones among these,
d width of a token.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lattice_model.baselines.deep import deep
from lattice_model.batch import Batch
from lattice_model.network.config import NetworkConfig, Positive, SharedHyperparameters
from lattice_model.network.event_embedding import EventEmbedder
from lattice_model.network.model import Model, task_modules
from lattice_model.network.preprocessing import Preprocessor


class BSTHyperparameters(SharedHyperparameters):
    """Those of BST; ``event_layers`` and ``attention_heads`` are its Transformer's."""

    ffn_width: Positive = 64
    """Hidden units of the Transformer's feed-forward network."""
    deep_widths: tuple[Positive, ...] = (320, 192)
    """Layers of the MLP on the Transformer's outputs and all other tokens."""


class BehaviorTransformer(nn.Module):
    """One source: its events and, at their end, the target item attend to each other, all but padding.

    Of the outputs it keeps the target's and those of the K - 1 newest events, zero where there are fewer. With K above
    the source's length that is the paper's layer.
    """

    def __init__(
        self, *, length: int, dim: int, heads: int, layers: int, width: int, outputs: int, dropout: float
    ) -> None:
        super().__init__()
        self.outputs = min(outputs, length + 1)
        self.positions_Nd = nn.Parameter(torch.randn(length + 1, dim) * 0.1)
        self.layers = nn.ModuleList(
            nn.TransformerEncoderLayer(
                dim, heads, dim_feedforward=width, dropout=dropout, activation=F.leaky_relu, batch_first=True
            )
            for _ in range(layers)
        )

    def forward(self, events_BNd: Tensor, lengths_B: Tensor, target_Bd: Tensor) -> Tensor:
        """Return (B, K, d)."""
        padding_BN = torch.arange(events_BNd.shape[1], device=lengths_B.device) >= lengths_B[:, None]
        hidden_BN = F.pad(padding_BN, (0, 1))
        x_BNd = torch.cat([events_BNd, target_Bd[:, None]], dim=1) + self.positions_Nd
        for layer in self.layers:
            x_BNd = layer(x_BNd, src_key_padding_mask=hidden_BN)
        newest_BNd = x_BNd[:, : self.outputs - 1].masked_fill(padding_BN[:, : self.outputs - 1, None], 0.0)
        return torch.cat([x_BNd[:, -1:], newest_BNd], dim=1)


class BST(Model):
    """A Transformer over each event source and the target, then an MLP on its outputs and all other tokens.

    The target of a source is the sum of the impression's ids that share an id space with it, and its learned position
    alone if there is none. Departing from the paper, the time of an event is a field of the event (``age``) instead of
    its position, which is its rank.
    """

    def __init__(self, config: NetworkConfig[BSTHyperparameters]) -> None:
        super().__init__()
        inputs, hyper = config.inputs, config.hyper
        self.config = config
        self.preprocessor = Preprocessor(inputs.model_copy(update={"sequences": ()}), hyper)
        self.events = EventEmbedder(sources=inputs.sequences, domains=inputs.domains, dim=hyper.dim)
        transformers = [
            BehaviorTransformer(
                length=source.length,
                dim=hyper.dim,
                heads=hyper.attention_heads,
                layers=hyper.event_layers,
                width=hyper.ffn_width,
                outputs=hyper.event_outputs,
                dropout=hyper.dropout,
            )
            for source in inputs.sequences
        ]
        self.transformers = nn.ModuleList(transformers)
        shared = [
            [
                float(id_space in [part.id_space for part in source.ids])
                for id_space in self.preprocessor.categorical.id_spaces
            ]
            for source in inputs.sequences
        ]
        self.target_SC: Tensor
        self.register_buffer(
            "target_SC",
            torch.tensor(shared).reshape(len(shared), self.preprocessor.categorical.tokens),
            persistent=False,
        )
        tokens = self.preprocessor.tokens + sum(transformer.outputs for transformer in transformers)
        self.deep = deep(tokens * hyper.dim, hyper.deep_widths, hyper.dropout)
        self.tasks = task_modules(config, hyper.deep_widths[-1])

    def embed(self, batch: Batch) -> Tensor:
        """Return (B, deep_widths[-1])."""
        _, o_cd_BMd = self.preprocessor(batch)
        targets_BSd = self.target_SC @ o_cd_BMd[:, : self.target_SC.shape[1]]
        read = [
            transformer(events_BNd, lengths_B, target_Bd)
            for transformer, (events_BNd, lengths_B), target_Bd in zip(
                self.transformers, self.events(batch.sequences, batch.domain_B), targets_BSd.unbind(1), strict=True
            )
        ]
        return self.deep(torch.cat([*read, o_cd_BMd], dim=1).flatten(1))
