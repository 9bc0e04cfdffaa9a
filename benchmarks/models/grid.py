"""Which cells there are, in which order, and what is known of each system so far."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from benchmarks.models.cell import Cell, Outcome
from benchmarks.models.rows import Part
from benchmarks.models.systems import CONSOLIDATION, LATTICE, System
from benchmarks.models.tuning import Params, propose, score
from lattice_model.evaluation.results import PortfolioMetrics
from schemas.manifest import Split, TrainingManifest

_TUNING_SEED = 1
BEST = 4


@dataclass(frozen=True, kw_only=True)
class Grid:
    """``outcomes`` is read anew at every question: what is found goes into later proposals."""

    systems: tuple[System, ...]
    manifest: TrainingManifest
    users: tuple[str, ...]
    """Categorical features that hold the user's own id."""
    rows: int
    trials: int
    """Of each system's parts, the first settings among them; 0: nothing is tuned, all have their first settings."""
    seeds: int
    code: str
    outcomes: Mapping[str, Outcome]

    def cells(self) -> Iterator[tuple[str, Cell]]:
        """All cells with a title each, in an order in which the first ones are of most use.

        Whoever asks for the next must have put the last one's outcome into ``outcomes``.
        """
        for system in self.systems:
            for cell in self.first(system):
                yield f"{system.name}, first settings, {cell.part}", cell
        for number in range(self.trials):
            for system in self.systems:
                for part in system.parts:
                    yield f"{system.name}, trial {number + 1}, {part}", self._trial(system, part, number)
        for rows in (self.rows, None):
            for seed in range(1, self.seeds + 1):
                for system in self.systems if rows else self.best():
                    for cell in self.chosen(system, seed, rows):
                        yield f"{system.name}, {rows or 'all'} rows, seed {seed}, {cell.part}", cell

    def first(self, system: System) -> list[Cell]:
        """The cells that judge a system with its first settings."""
        return [self._cell(system, part, system.start, "test", 1, self.rows) for part in system.parts]

    def chosen(self, system: System, seed: int, rows: int | None) -> list[Cell]:
        """The cells that judge a system with its tuned settings; none before all of its trials are known."""
        tuned = [self._tuned(system, part) for part in system.parts]
        return [
            self._cell(system, part, params, "test", seed, rows)
            for part, params in zip(system.parts, tuned, strict=True)
            if params is not None and None not in tuned
        ]

    def tuned(self, system: System) -> list[tuple[Part, Params, float]]:
        """For each part the best settings and their score on the validation range; empty before all are known."""
        if not self.trials:
            return []
        found = [(part, *self._best(system, part)) for part in system.parts if self._tuned(system, part) is not None]
        return found if len(found) == len(system.parts) else []

    def best(self) -> list[System]:
        """Lattice and the best of the others, but for its own variants, by their scores on the validation range."""
        others = [s for s in self.systems if s.name == LATTICE or s.name not in CONSOLIDATION]
        known = [system for system in others if self.tuned(system)]
        known.sort(key=lambda system: (system.name != LATTICE, score(self._validated(system))))
        return known[:BEST]

    def _validated(self, system: System) -> list[PortfolioMetrics]:
        cells = [self._cell(system, part, params, "validation", 1, self.rows) for part, params, _ in self.tuned(system)]
        return [portfolio for cell in cells for portfolio in self.outcomes[cell.key].portfolios]

    def _trial(self, system: System, part: Part, number: int) -> Cell:
        told = self._told(system, part, number)
        params = propose(system.space, told, _TUNING_SEED) if number else system.start
        return self._cell(system, part, params, "validation", 1, self.rows)

    def _told(self, system: System, part: Part, trials: int) -> list[tuple[Params, float]]:
        """Values and scores of the first trials, as many of them as are known."""
        told: list[tuple[Params, float]] = []
        while len(told) < trials:
            params = propose(system.space, told, _TUNING_SEED) if told else system.start
            outcome = self.outcomes.get(self._cell(system, part, params, "validation", 1, self.rows).key)
            if outcome is None:
                break
            told.append((params, score(outcome.portfolios)))
        return told

    def _tuned(self, system: System, part: Part) -> Params | None:
        if not self.trials:
            return system.start
        return self._best(system, part)[0] if len(self._told(system, part, self.trials)) == self.trials else None

    def _best(self, system: System, part: Part) -> tuple[Params, float]:
        return min(self._told(system, part, self.trials), key=lambda pair: pair[1])

    def _cell(self, system: System, part: Part, params: Params, split: Split, seed: int, rows: int | None) -> Cell:
        manifest = part.of(self.manifest)
        return Cell(
            part=part,
            kind=system.kind,
            settings=system.settings(params, manifest, seed, self.users),
            split=split,
            rows=rows,
            data=self.manifest.fingerprint,
            code=self.code,
        )
