"""What is compared: each system is one model or several, each of which serves a part of the portfolios."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from benchmarks.models.cell import LIGHTGBM
from benchmarks.models.rows import Part, parts_by_domain, parts_by_portfolio
from benchmarks.models.tuning import (
    CORRELATION_SPACE,
    CORRELATION_START,
    ID_DROPOUT,
    NETWORK,
    NETWORK_START,
    TREES,
    TREES_START,
    Params,
    Space,
)
from benchmarks.trees import SETTINGS
from lattice_model.models import DEFAULT, MODELS
from schemas.manifest import TrainingManifest
from schemas.space import ModelSpace

LATTICE = DEFAULT
BY_PORTFOLIO, BY_DOMAIN = "lattice a portfolio", "lattice a domain"
WITH_CORRELATION, WITH_SUPERVISION = "lattice + correlation loss", "lattice + all supervision"
CONSOLIDATION = (BY_PORTFOLIO, BY_DOMAIN, LATTICE, WITH_CORRELATION, WITH_SUPERVISION)
"""As in Table 4: from separate models to one with all of the supervision."""
_BATCH = 1024
_WHOLE = (Part(),)


@dataclass(frozen=True, kw_only=True)
class System:
    """``start`` is what is tried first; ``fixed`` settings are never tuned."""

    name: str
    kind: str
    parts: tuple[Part, ...] = _WHOLE
    space: Space = field(default_factory=lambda: NETWORK)
    start: Params = field(default_factory=lambda: NETWORK_START)
    fixed: Params = field(default_factory=dict)

    def settings(self, params: Params, part_manifest: TrainingManifest, seed: int, users: Sequence[str]) -> Params:
        """The settings of a cell; ``users`` names the categorical features that hold the user's own id."""
        if self.kind == LIGHTGBM:
            return {**SETTINGS, "num_threads": 1, **params, "seed": seed}
        known = [part.name for part in part_manifest.categorical if part.name in users]
        content: dict[str, dict[str, Any]] = {"training": {"batch_size": _BATCH, "threads": 1}, "network": {}}
        for name, value in {**self.fixed, **params}.items():
            section, key = name.split(".")
            content[section][key] = dict.fromkeys(known, value) if name == ID_DROPOUT else value
        content["training"]["seed"] = seed
        return content


def user_ids(space: ModelSpace) -> tuple[str, ...]:
    """The categorical features that hold the user's own id."""
    return tuple(name for name, part in space.features.categorical.items() if part.column == "user_id")


def systems(manifest: TrainingManifest) -> tuple[System, ...]:
    """Every system, Lattice first."""
    target = max(manifest.objectives, key=lambda objective: len(objective.domains)).name
    return (
        *(System(name=name, kind=name) for name in MODELS),
        System(name=LIGHTGBM, kind=LIGHTGBM, space=TREES, start=TREES_START),
        System(name=BY_DOMAIN, kind=LATTICE, parts=parts_by_domain(manifest)),
        System(name=BY_PORTFOLIO, kind=LATTICE, parts=parts_by_portfolio(manifest)),
        System(name=WITH_CORRELATION, kind=LATTICE, space=CORRELATION_SPACE, start=CORRELATION_START),
        System(
            name=WITH_SUPERVISION,
            kind=LATTICE,
            space=CORRELATION_SPACE,
            start=CORRELATION_START,
            fixed={
                "training.metabalance": target,
                "training.optimizer": "soap",
                "training.clipping": "clippy",
                "training.clippy_absolute": 0.004,
            },
        ),
    )
