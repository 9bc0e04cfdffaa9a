"""What every model begins with: feature processors and the mixing network (paper 3.3.1).

Shapes: B impressions, S sequence tokens, M non-sequence tokens, d width of a token.
"""

from torch import Tensor, nn

from lattice_model.batch import Batch
from lattice_model.network.categorical import CategoricalProcessor
from lattice_model.network.config import SharedHyperparameters
from lattice_model.network.dense import DenseProcessor
from lattice_model.network.events import SequenceProcessor
from lattice_model.network.inputs import Inputs
from lattice_model.network.mixing import MixingNetwork


class Preprocessor(nn.Module):
    """Raw features (normalisation is part of it) and the row's domain to tokens of one width.

    The row's window is not looked at: it only says which head its label trains.
    """

    def __init__(self, inputs: Inputs, hyper: SharedHyperparameters) -> None:
        super().__init__()
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
            rotary=hyper.rotary,
            normalised=hyper.query_key_norm,
            encoded=hyper.source_encoding,
            averaged=hyper.event_model == "mean",
        )
        self.mixing = MixingNetwork(
            tokens=self.categorical.tokens + self.dense.tokens, domains=len(inputs.domains), dim=hyper.dim
        )
        self.tokens = self.sequences.tokens + self.mixing.tokens

    def forward(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Return O_s (B, S, d) and O_cd (B, M, d), in which ids come first, then numbers, and the domain last."""
        o_cd_BMd = self.mixing(
            self.categorical(batch.categorical, batch.domain_B),
            self.dense(batch.dense_BF, batch.domain_B),
            batch.domain_B,
        )
        return self.sequences(batch.sequences, batch.domain_B), o_cd_BMd
