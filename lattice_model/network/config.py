"""What a Lattice Network is built from: its inputs, as a training manifest declares them, and its hyperparameters.

The configuration is stored beside a checkpoint as JSON and is all that is needed to build the network again.
"""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, model_validator

from schemas.errors import LatticeError
from schemas.manifest import (
    CategoricalInput,
    DenseInput,
    Normaliser,
    SequenceId,
    SequenceInput,
    Split,
    TrainingManifest,
)

Positive = Annotated[int, Field(ge=1)]
Probability = Annotated[float, Field(ge=0.0, lt=1.0)]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Head(_Part):
    """One output: an objective, or an objective in one of its windows."""

    objective: str
    window: str | None
    objective_index: int
    """Position among the objectives, the columns of ``labels_BO``."""
    window_index: int
    """Position among the group's windows, as ``window_B`` counts them; -1 for an immediate objective."""


class Inputs(_Part):
    """The features, domains and heads of a model."""

    domains: tuple[str, ...]
    categorical: tuple[CategoricalInput, ...]
    dense: tuple[DenseInput, ...]
    sequences: tuple[SequenceInput, ...]
    normalisers: dict[str, Normaliser]
    """One for each dense feature, by its name."""
    heads: tuple[Head, ...]

    @model_validator(mode="after")
    def _tables_agree(self) -> "Inputs":
        ids: list[CategoricalInput | SequenceId] = [*self.categorical]
        ids += [part for sequence in self.sequences for part in sequence.ids]
        sizes = {part.id_space: part.size for part in ids}
        for part in ids:
            if sizes[part.id_space] != part.size:
                raise ValueError(f"the id space '{part.id_space}' has two sizes: {part.size}, {sizes[part.id_space]}")
        return self


class Hyperparameters(_Part):
    """Widths, depths and rates. The defaults suit a space of some 150 features on a CPU."""

    dim: Positive = 16
    """d, the width of every token."""
    layers: Positive = 2
    """Backbone layers, a Transformer Block and a Fusion Block each."""
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
    task_width: Positive = 32
    """Hidden units of each head."""

    @model_validator(mode="after")
    def _heads_divide(self) -> "Hyperparameters":
        if self.dim % (2 * self.attention_heads):
            raise LatticeError(
                "the hyperparameter dim",
                f"{self.dim} is not a multiple of twice attention_heads ({self.attention_heads}).",
                "Change either: each attention head has dim / attention_heads channels, which RoPE turns in pairs.",
            )
        return self


class LatticeConfig(_Part):
    """Everything that ``LatticeNetwork`` is built from."""

    inputs: Inputs
    hyper: Hyperparameters = Hyperparameters()
    base_rates: tuple[float, ...] | None = None
    """The positive rate of each head among its training rows, where its output starts; None for one half."""

    @model_validator(mode="after")
    def _consistent(self) -> "LatticeConfig":
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
        hyper: Hyperparameters | None = None,
        base_rates: tuple[float, ...] | None = None,
    ) -> "LatticeConfig":
        """The configuration of a model that trains on the rows before the cut of ``split``."""
        inputs = inputs_from(manifest, split)
        return cls(inputs=inputs, hyper=hyper or Hyperparameters(), base_rates=base_rates)


def inputs_from(manifest: TrainingManifest, split: Split) -> Inputs:
    """The inputs of a model that trains on the rows before the cut of ``split``, normalised by those rows.

    Raises:
        LatticeError: the manifest has no normaliser for a dense feature in that split.
    """
    fitted = manifest.normalisers.get(split, {})
    missing = [feature.name for feature in manifest.dense if feature.name not in fitted]
    if missing:
        raise LatticeError(
            f"the manifest of {manifest.space}/{manifest.group}",
            f"It has no normaliser for {', '.join(missing[:5])} in the split '{split}'.",
            "Build the training table again for that split.",
        )
    objectives = [objective.name for objective in manifest.objectives]
    return Inputs(
        domains=manifest.domains,
        categorical=manifest.categorical,
        dense=manifest.dense,
        sequences=manifest.sequences,
        normalisers={feature.name: fitted[feature.name] for feature in manifest.dense},
        heads=tuple(
            Head(
                objective=objective,
                window=window,
                objective_index=objectives.index(objective),
                window_index=-1 if window is None else manifest.windows.index(window),
            )
            for objective, window in manifest.heads()
        ),
    )
