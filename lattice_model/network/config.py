"""What a model is built from: its inputs, and its hyperparameters.

The configuration is stored beside a checkpoint as JSON and is all that is needed to build the model again.
"""

from typing import Annotated, Any, Generic, Self, TypeVar

from pydantic import BaseModel, ConfigDict, Field, model_validator

from lattice_model.network.inputs import Inputs, inputs_from
from schemas.errors import LatticeError
from schemas.manifest import Split, TrainingManifest

Positive = Annotated[int, Field(ge=1)]
Probability = Annotated[float, Field(ge=0.0, lt=1.0)]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class SharedHyperparameters(_Part):
    """What every model has: its feature processors and its heads. Defaults suit some 150 features on a CPU."""

    dim: Positive = 16
    """d, the width of every token."""
    attention_heads: Positive = 1
    dropout: Probability = 0.1
    id_dropout: dict[str, Probability] = {}
    """Categorical feature -> share of training rows in which its id is taken as absent."""
    dense_width: Positive = 8
    """Hidden units of each dense feature's own small network."""
    dense_tokens: Positive | None = 16
    """Tokens that all dense features together become; None (or as many as there are) for one a feature, as in 3.3.1."""
    event_outputs: Positive = 4
    """K, tokens an event source becomes."""
    event_layers: Positive = 1
    """Attention layers over the events of a source."""
    task_width: Positive = 32
    """Hidden units of each head."""

    @model_validator(mode="after")
    def _heads_divide(self) -> Self:
        if self.dim % (2 * self.attention_heads):
            raise LatticeError(
                "the hyperparameter dim",
                f"{self.dim} is not a multiple of twice attention_heads ({self.attention_heads}).",
                "Change either: each attention head has dim / attention_heads channels, which RoPE turns in pairs.",
            )
        return self


class Hyperparameters(SharedHyperparameters):
    """Those of the Lattice Network: widths and depths of its backbone."""

    layers: Positive = 2
    """Backbone layers, a Transformer Block and a Fusion Block each."""
    ffn_width: Positive = 32
    """Hidden units of a Transformer Block's feed-forward network."""
    generated_rank: Positive = 4
    """Side of the matrix that the feed-forward network generates from its context."""
    fmb_rank: Positive = 8
    """k of the Factorization Machine Block's low-rank projection."""
    fmb_tokens: Positive = 8
    """n_F, tokens out of the Factorization Machine Block."""
    fmb_widths: tuple[Positive, ...] = (256,)
    """Hidden layers of the Factorization Machine Block's MLP."""
    lcb_tokens: Positive = 8
    """n_L, tokens out of the Linear Compression Block."""
    dense_residuals: bool = True
    """Whether each Fusion Block also reads the inputs of all earlier ones (DenseNet)."""


H = TypeVar("H", bound=SharedHyperparameters)


class NetworkConfig(_Part, Generic[H]):
    """Everything that a model with hyperparameters H is built from."""

    inputs: Inputs
    hyper: H = Field(default_factory=dict, validate_default=True)  # all defaults of H
    base_rates: tuple[float, ...] | None = None
    """The positive rate of each head among its training rows, where its output starts; None for one half."""

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.base_rates is not None and len(self.base_rates) != len(self.inputs.heads):
            raise ValueError(f"{len(self.base_rates)} base rates for {len(self.inputs.heads)} heads")
        names = [feature.name for feature in self.inputs.categorical]
        for name in self.hyper.id_dropout:
            if name not in names:
                raise LatticeError(
                    "the hyperparameter id_dropout",
                    f"'{name}' is not a categorical feature of the model.",
                    f"Name one of {', '.join(names) or 'none (there are none)'}.",
                )
        return self

    @classmethod
    def from_manifest(
        cls,
        manifest: TrainingManifest,
        split: Split,
        hyper: H | None = None,
        base_rates: tuple[float, ...] | None = None,
    ) -> Self:
        """The configuration of a model that trains on the rows before the cut of ``split``."""
        given: dict[str, Any] = {"inputs": inputs_from(manifest, split), "base_rates": base_rates}
        return cls.model_validate(given if hyper is None else {**given, "hyper": hyper})


LatticeConfig = NetworkConfig[Hyperparameters]
"""Everything that ``LatticeNetwork`` is built from."""
