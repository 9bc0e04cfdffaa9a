"""The settings of a model: how it is trained and how its network is built, as ``lattice train --config`` reads them."""

from pathlib import Path

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError

from lattice_model.network.config import Hyperparameters
from lattice_model.training.config import TrainingConfig
from schemas.errors import LatticeError


class ModelConfig(BaseModel):
    """Both parts; what a file leaves out keeps its default."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    training: TrainingConfig = TrainingConfig()
    network: Hyperparameters = Hyperparameters()

    @classmethod
    def read(cls, path: Path | None) -> "ModelConfig":
        """From a YAML file; the defaults if there is none.

        Raises:
            LatticeError: it cannot be read, or a key or value in it is not known.
        """
        if path is None:
            return cls()
        try:
            return cls.model_validate(yaml.safe_load(path.read_text(encoding="utf-8")) or {})
        except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
            raise LatticeError(str(path), f"The settings cannot be read: {error}.", "Give a YAML file.") from error
        except ValidationError as error:
            first = error.errors()[0]
            key = ".".join(str(part) for part in first["loc"]) or "the file"
            raise LatticeError(
                f"{path}, {key}",
                f"Not valid (value: {first['input']!r}): {first['msg']}.",
                f"Allowed: {_allowed(first['loc'])}.",
            ) from error


def _allowed(location: tuple[int | str, ...]) -> str:
    parts: dict[str, type[BaseModel]] = {"training": TrainingConfig, "network": Hyperparameters}
    part = parts.get(str(location[0])) if location else None
    if part is None:
        return ", ".join(parts)
    field = part.model_fields.get(str(location[1])) if len(location) > 1 else None
    if field is None:
        return ", ".join(part.model_fields)
    return f"{field.annotation}, such as {field.default!r}"
