"""How importance is measured."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field


class ImportanceConfig(BaseModel):
    """What the numbers depend on besides the model and the rows."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    repeats: Annotated[int, Field(ge=1)] = 3
    """Permutations of each feature, at most."""
    seed: int = 1
    negligible: Annotated[float, Field(ge=0.0)] = 1e-4
    """A feature that is surely worth less to every task of a domain (by three standard errors) is permuted there no
    more."""
    exact: bool = False
    """Whether the network runs on every row that a permutation changes. Otherwise it runs on a sample of them where
    that, with what its slopes foretell of the others, makes the square of the error larger by a fifth at most."""
