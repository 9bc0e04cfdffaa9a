"""The Lattice Network: preprocessor, backbone, task modules (paper 3.3, Figure 2)."""

from torch import Tensor, nn

from lattice_model.batch import Batch
from lattice_model.network.backbone import Backbone
from lattice_model.network.categorical import CategoricalProcessor
from lattice_model.network.config import LatticeConfig
from lattice_model.network.dense import DenseProcessor
from lattice_model.network.events import SequenceProcessor
from lattice_model.network.mixing import MixingNetwork
from lattice_model.network.tasks import TaskModules


class LatticeNetwork(nn.Module):
    """One model for the portfolios of a group.

    It takes raw features (normalisation is part of it) and the row's domain; the row's window only says which head
    its label trains and is not looked at here. Parameters are drawn from torch's global generator.
    """

    def __init__(self, config: LatticeConfig) -> None:
        super().__init__()
        inputs, hyper = config.inputs, config.hyper
        self.config = config
        self.categorical = CategoricalProcessor(
            features=inputs.categorical, domains=inputs.domains, dim=hyper.dim, id_dropout=hyper.id_dropout
        )
        self.dense = DenseProcessor(
            features=inputs.dense,
            normalisers=inputs.normalisers,
            domains=inputs.domains,
            dim=hyper.dim,
            width=hyper.dense_width,
            tokens=hyper.dense_tokens,
        )
        self.sequences = SequenceProcessor(
            sources=inputs.sequences,
            domains=inputs.domains,
            dim=hyper.dim,
            heads=hyper.attention_heads,
            layers=hyper.event_layers,
            outputs=hyper.event_outputs,
        )
        self.mixing = MixingNetwork(
            tokens=self.categorical.tokens + self.dense.tokens, domains=len(inputs.domains), dim=hyper.dim
        )
        self.backbone = Backbone(tokens=self.mixing.tokens, sequence_tokens=self.sequences.tokens, hyper=hyper)
        self.tasks = TaskModules(
            heads=len(inputs.heads),
            features=self.backbone.tokens * hyper.dim,
            width=hyper.task_width,
            dropout=hyper.dropout,
            base_rates=config.base_rates,
        )

    def embed(self, batch: Batch) -> Tensor:
        """Return the shared backbone embedding of each impression, (B, tokens, dim)."""
        o_cd = self.mixing(
            self.categorical(batch.categorical, batch.domain_B),
            self.dense(batch.dense_BF, batch.domain_B),
            batch.domain_B,
        )
        return self.backbone(self.sequences(batch.sequences, batch.domain_B), o_cd)

    def forward(self, batch: Batch) -> Tensor:
        """Return logits (B, heads), float32, in the order of the manifest's ``heads()``."""
        return self.tasks(self.embed(batch))
