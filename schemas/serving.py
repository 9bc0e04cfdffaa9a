"""The layout of an exported model: what its program takes and gives, for whoever serves it without this project.

The program takes one argument, a dict of tensors over B impressions (``lattice_model.export.serving`` fills it):

- ``domain`` (B,) int64: positions in ``domains``;
- ``categorical`` (B, C) int64: unfolded hashes in the order of ``categorical``, 0 where the id is absent;
- ``dense`` (B, F) float32: raw numbers in the order of ``dense``, NaN where unknown;
- for each sequence ``<name>/ids`` (B, N, I) int64, ``<name>/dense`` (B, N, E) float32, newest event first, and
  ``<name>/length`` (B,) int64, how many places are filled.

It gives (B, O) float32: the probability of each of ``objectives`` at its oracle head.
"""

from pathlib import Path

from pydantic import BaseModel, ConfigDict

from schemas.manifest import CategoricalInput, DenseInput, SequenceInput, Split, TrainingManifest


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class ServedObjective(_Part):
    """One output; it means something in ``domains`` alone. ``window`` is the longest one, None if immediate."""

    name: str
    window: str | None
    domains: tuple[str, ...]


class ServingLayout(_Part):
    """See the module. Features that a row's domain lacks are zeroed by the program."""

    model: str
    """Which trained model: its folder's name, the version that scores carry."""
    network: str
    """Of what kind, such as lattice or dlrm."""
    space: str
    group: str
    split: Split
    manifest: str
    """The fingerprint of the manifest that the model was trained by."""
    domains: tuple[str, ...]
    categorical: tuple[CategoricalInput, ...]
    dense: tuple[DenseInput, ...]
    sequences: tuple[SequenceInput, ...]
    objectives: tuple[ServedObjective, ...]
    torch: str
    """The version that wrote the program."""
    program_sha256: str = ""
    float8: str | None = None
    """How the linear layers' weights are scaled, if the program holds them in FP8."""

    @classmethod
    def of(cls, manifest: TrainingManifest, *, model: str, network: str, split: Split, torch: str) -> "ServingLayout":
        """The layout of a model that was trained by a manifest."""
        return cls(
            model=model,
            network=network,
            space=manifest.space,
            group=manifest.group,
            split=split,
            manifest=manifest.fingerprint,
            domains=manifest.domains,
            categorical=manifest.categorical,
            dense=manifest.dense,
            sequences=manifest.sequences,
            objectives=tuple(
                ServedObjective(name=o.name, window=o.windows[-1] if o.windows else None, domains=o.domains)
                for o in manifest.objectives
            ),
            torch=torch,
        )

    @classmethod
    def read(cls, path: Path) -> "ServingLayout":
        return cls.model_validate_json(path.read_text(encoding="utf-8"))
