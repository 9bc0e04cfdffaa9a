"""What a model is built from: its inputs, and its hyperparameters.

The configuration is stored beside a checkpoint as JSON and is all that is needed to build the model again.
"""

from typing import Annotated, Any, Generic, Literal, Self, TypeVar

from pydantic import BaseModel, ConfigDict, Field, model_validator

from lattice_model.network.inputs import Inputs, inputs_from
from lattice_model.network.normalisation import Gate
from schemas.errors import LatticeError
from schemas.manifest import Split, TrainingManifest

Positive = Annotated[int, Field(ge=1)]
NotNegative = Annotated[int, Field(ge=0)]
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
    event_model: Literal["attention", "mean"] = "attention"
    """How an event source is read: by attention, or as the mean of its events, one token. BST has a way of its own."""
    event_outputs: Positive = 4
    """K, tokens an event source becomes if it is read by attention."""
    event_layers: Positive = 1
    """Attention layers over the events of a source."""
    rotary: bool = True
    """Whether self-attention knows the order of its tokens (RoPE)."""
    query_key_norm: bool = True
    """Whether attention normalises queries and keys."""
    source_encoding: bool = False
    """Whether each event also carries a learned vector of its source."""
    task_width: Positive = 32
    """Hidden units of each head."""
    towers: Literal["shared", "domain"] = "shared"
    """Whether domains share the heads, or each has its own."""

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
    """Backbone layers, each of Transformer Blocks and then Fusion Blocks."""
    transformer_depth: Positive = 1
    """Transformer Blocks of a layer."""
    fusion_depths: tuple[Positive, ...] = Field(default=(1,), min_length=1)
    """Fusion Blocks of each layer; the last number holds for all later ones. Only the first of a layer reads O'_s."""
    cross_attention: bool = True
    """Whether Transformer Blocks attend to the non-sequence tokens."""
    ffn_width: Positive = 32
    """Hidden units of a Transformer Block's feed-forward network."""
    generated_rank: NotNegative = 4
    """Side of the matrix that the feed-forward network generates from its context; 0: it generates none."""
    fmb_rank: Positive = 8
    """k of the Factorization Machine Block's low-rank projection."""
    fmb_tokens: NotNegative = 8
    """n_F, tokens out of the Factorization Machine Block; 0: there is none."""
    fmb_widths: tuple[Positive, ...] = (256,)
    """Hidden layers of the Factorization Machine Block's MLP."""
    lcb_tokens: NotNegative = 8
    """n_L, tokens out of the Linear Compression Block; 0: there is none."""
    cross_tokens: NotNegative = 0
    """n_C, tokens out of the deep cross member; 0: there is none."""
    cross_layers: Positive = 2
    """Cross layers of the deep cross member."""
    cross_rank: Positive = 16
    """Rank of a cross layer's matrix."""
    gate: Gate = "sigmoid"
    """Of SwishRMSNorm."""
    norm_block: Positive | None = None
    """Neighbouring channels that SwishRMSNorm normalises for themselves (BlockNorm); None: all together."""
    dense_residuals: bool = True
    """Whether each layer's Fusion Block also reads the inputs of all earlier layers' (DenseNet)."""
    untied_layers: tuple[NotNegative, ...] = ()
    """Backbone layers, from 0, whose weights each domain, or group of domains, has for itself."""
    untied_groups: tuple[tuple[str, ...], ...] | None = None
    """Groups of domains in these layers; domains that none names are one more group. None: each domain is one."""

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if not self.fmb_tokens + self.lcb_tokens + self.cross_tokens:
            raise LatticeError(
                "the hyperparameters fmb_tokens, lcb_tokens, cross_tokens", "All are 0.", "Leave one part on."
            )
        widths = (self.ffn_width, *(self.fmb_widths if self.fmb_tokens else ()))
        if self.norm_block is not None and any(width % self.norm_block for width in widths):
            raise LatticeError(
                "the hyperparameter norm_block",
                f"{self.norm_block} does not divide every width ({', '.join(map(str, widths))}).",
                "Change it, ffn_width or fmb_widths.",
            )
        if any(layer >= self.layers for layer in self.untied_layers):
            raise LatticeError(
                "the hyperparameter untied_layers",
                f"{list(self.untied_layers)} names a layer that is not there.",
                f"There are {self.layers}: name them from 0 to {self.layers - 1}.",
            )
        return self


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
        groups = getattr(self.hyper, "untied_groups", None) or ()
        named = [domain for group in groups for domain in group]
        for domain in named:
            if domain not in self.inputs.domains or named.count(domain) > 1:
                raise LatticeError(
                    "the hyperparameter untied_groups",
                    f"'{domain}' is not a domain of the model, or is named twice.",
                    f"Name each of {', '.join(self.inputs.domains)} once at most.",
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
