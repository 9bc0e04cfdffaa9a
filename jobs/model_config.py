"""The settings of a model: which one, how it is trained and built, as ``lattice train --config`` reads them."""

from pathlib import Path
from typing import Any, Generic

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from lattice_model.models import DEFAULT, find_kind, name_of
from lattice_model.network.config import H, SharedHyperparameters
from lattice_model.training.config import TrainingConfig
from lattice_model.training.gates import Gates
from schemas.errors import LatticeError


class ModelConfig(BaseModel, Generic[H]):
    """What a file leaves out keeps its default."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    training: TrainingConfig = TrainingConfig()
    network: H = Field(default_factory=dict, validate_default=True)  # all defaults of H
    gates: Gates = Gates()

    @property
    def model(self) -> str:
        """Its name."""
        return name_of(self.network)

    @classmethod
    def read(cls, path: Path | None = None, model: str | None = None) -> "ModelConfig[Any]":
        """From a YAML file, or the defaults if there is none; ``model`` goes before the file's own ``model`` key.

        Raises:
            LatticeError: it cannot be read, or the model, a key or a value in it is not known.
        """
        content = {} if path is None else _content(path)
        named = content.pop("model", DEFAULT)
        kind = find_kind(str(named), f"{path}, model") if model is None else find_kind(model, "--model")
        try:
            return ModelConfig[kind.hyper].model_validate(content)  # type: ignore[name-defined]
        except ValidationError as error:
            first = error.errors()[0]
            key = ".".join(str(part) for part in first["loc"]) or "the file"
            raise LatticeError(
                f"{path}, {key}",
                f"Not valid (value: {first['input']!r}): {first['msg']}.",
                f"Allowed: {_allowed(first['loc'], kind.hyper)}.",
            ) from error


def _content(path: Path) -> dict[str, Any]:
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise LatticeError(str(path), f"The settings cannot be read: {error}.", "Give a YAML file.") from error
    if not isinstance(content, dict):
        raise LatticeError(str(path), f"It holds no settings: {content!r}.", "Give keys: model, training, network.")
    return content


def _allowed(location: tuple[int | str, ...], hyper: type[SharedHyperparameters]) -> str:
    parts: dict[str, type[BaseModel]] = {"training": TrainingConfig, "network": hyper, "gates": Gates}
    part = parts.get(str(location[0])) if location else None
    if part is None:
        return ", ".join(["model", *parts])
    field = part.model_fields.get(str(location[1])) if len(location) > 1 else None
    if field is None:
        return ", ".join(part.model_fields)
    return f"{field.annotation}, such as {field.default!r}"
