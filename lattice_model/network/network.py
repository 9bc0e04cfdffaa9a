"""The Lattice Network: preprocessor, backbone, task modules (paper 3.3, Figure 2)."""

from torch import Tensor

from lattice_model.batch import Batch
from lattice_model.network.backbone import Backbone
from lattice_model.network.config import LatticeConfig
from lattice_model.network.model import Model, task_modules
from lattice_model.network.preprocessing import Preprocessor


class LatticeNetwork(Model):
    """One model for the portfolios of a group."""

    def __init__(self, config: LatticeConfig) -> None:
        super().__init__()
        self.config = config
        self.preprocessor = Preprocessor(config.inputs, config.hyper)
        self.backbone = Backbone(
            tokens=self.preprocessor.mixing.tokens,
            sequence_tokens=self.preprocessor.sequences.tokens,
            hyper=config.hyper,
            domains=config.inputs.domains,
        )
        self.tasks = task_modules(config, self.backbone.tokens * config.hyper.dim)

    def embed(self, batch: Batch) -> Tensor:
        """Return the shared backbone embedding of each impression, (B, tokens, dim)."""
        return self.backbone(*self.preprocessor(batch), batch.domain_B)
