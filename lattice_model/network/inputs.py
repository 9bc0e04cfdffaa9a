"""What goes into a model and comes out of it: features, domains and heads, as a training manifest declares them."""

from pydantic import BaseModel, ConfigDict, model_validator

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
