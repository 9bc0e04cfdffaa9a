"""Which networks are trained: one with every feature, and one with what each way chose, a target and a seed."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from benchmarks.filter.measured import Measured
from benchmarks.filter.ways import WAYS
from benchmarks.models.cell import Cell
from benchmarks.models.rows import Part, having
from benchmarks.models.systems import LATTICE, System
from schemas.manifest import Split, TrainingManifest

_SYSTEM = System(name=LATTICE, kind=LATTICE)


@dataclass(frozen=True, kw_only=True)
class Trainings:
    """What all cells have in common."""

    manifest: TrainingManifest
    users: tuple[str, ...]
    """Categorical features that hold the user's own id."""
    rows: int
    code: str

    def cell(self, features: tuple[str, ...] | None, split: Split, seed: int) -> Cell:
        """A network with these features, or with every one, in the first settings of the comparison of models."""
        return Cell(
            part=Part(),
            kind=_SYSTEM.kind,
            settings=_SYSTEM.settings(_SYSTEM.start, having(self.manifest, features), seed, self.users),
            split=split,
            rows=self.rows,
            data=self.manifest.fingerprint,
            code=self.code,
            features=features,
        )


@dataclass(frozen=True, kw_only=True)
class Grid:
    """Cells are by seed, from 1, one a seed: what ``standing`` and ``difference`` take."""

    trainings: Trainings
    known: Measured
    targets: Sequence[int]
    seeds: int

    def cells(self) -> Iterator[tuple[str, Cell]]:
        """All cells with a title each, every way with the first seed before the next."""
        for seed in range(self.seeds):
            yield f"all features, seed {seed + 1}", self.everything()[seed][0]
            for target in self.targets:
                for way in WAYS:
                    yield f"{target} by {way}, seed {seed + 1}", self.of(way, target)[seed][0]

    def everything(self) -> list[list[Cell]]:
        return [[self.trainings.cell(None, "test", seed)] for seed in range(1, self.seeds + 1)]

    def of(self, way: str, target: int) -> list[list[Cell]]:
        """Those of one way; sequences are no candidates, and every network has them."""
        manifest = self.trainings.manifest
        kept = {part.name for part in manifest.sequences}
        every = [self.chosen(way, target, seed) | kept for seed in range(1, self.seeds + 1)]
        return [
            [self.trainings.cell(tuple(name for name in manifest.features() if name in names), "test", seed)]
            for seed, names in enumerate(every, 1)
        ]

    def chosen(self, way: str, target: int, seed: int) -> set[str]:
        return set(self.known.features[WAYS[way](self.known, target, seed)].tolist())
