"""What a run is about: the space, the group, the warehouse and the sample; and how its stages are recognised."""

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path

from pipelines.keyed import key_for
from pipelines.sampling import parse_sample
from pipelines.selections import effective_selection
from pipelines.sources import source_identity
from pipelines.tables import is_local, join_uri
from pipelines.warehouse import local_path
from schemas.errors import LatticeError
from schemas.narrowing import candidates, narrowed, with_parts
from schemas.selection import Selection
from schemas.space import Declared, ModelSpace, Sample
from schemas.space_file import load_space, shipped_spaces

REMEMBERED = {"unified": "past", "pool": "past_pool"}
"""A table -> the one beside it of what its features remember of the past."""
_OF_GROUP = ("unified", "pool", "outcomes", "zipped", "late_feedback", "evaluation", "training")


class Plan(Declared):
    """A space and a sample of it, and of its features those that a group chose; None if it has them all."""

    space: ModelSpace
    sample: Sample | None
    chosen: tuple[str, ...] | None = None
    pinned: tuple[str, ...] = ()


@dataclass(frozen=True)
class Target:
    """One group of one space in one warehouse."""

    space: ModelSpace
    folder: Path
    """Where the space file lies: relative paths in it start here."""
    group: str
    warehouse: str
    sample: Sample | None
    sample_name: str | None = None
    models_folder: Path | None = None

    @classmethod
    def parse(
        cls, space: str, warehouse: str, group: str, sample: str | None = None, models: Path | None = None
    ) -> "Target":
        """From the command line's options.

        Raises:
            LatticeError: one of them makes no sense.
        """
        declared = load_space(space)
        if group not in declared.groups:
            raise LatticeError(
                "--group", f"The space has no group '{group}'.", f"Declared: {', '.join(declared.groups)}."
            )
        path = shipped_spaces().get(space, Path(space))
        chosen = parse_sample(declared, sample) if sample else None
        return cls(declared, path.parent.resolve(), group, warehouse, chosen, sample, models)

    def space_table(self, name: str) -> str:
        return join_uri(self.warehouse, self.space.name, name)

    def group_table(self, name: str) -> str:
        return join_uri(self.warehouse, self.space.name, self.group, name)

    def manifest_uri(self, version: int) -> str:
        """Where the manifest of a version of ``training`` lies."""
        return join_uri(self.group_table("manifests"), f"training-{version}.json")

    @property
    def tables(self) -> list[str]:
        """Every table that a build or a night publishes, what is made of others after them."""
        of_space = [self.space_table(name) for name in ("impressions", "late_impressions", "feedback")]
        of_group = [self.group_table(name) for name in _OF_GROUP if name != "pool" or self.pool]
        return [*self.attribute_tables.values(), *self.event_tables.values(), *of_space, *of_group]

    @property
    def space_folder(self) -> str:
        """Where everything of the space lies."""
        return join_uri(self.warehouse, self.space.name)

    @property
    def rollback(self) -> str:
        """The file that says which run is gone back to, while that is under way."""
        return self.space_table("rollback.run")

    @property
    def plans(self) -> str:
        """The folder of the space files that rows were made by."""
        return self.space_table("plans")

    @property
    def runs(self) -> str:
        """The folder of the runs' records."""
        return self.space_table("runs")

    @property
    def quarantine(self) -> str:
        """Where the space's bad rows are kept apart."""
        return self.space_table("quarantine")

    @property
    def forgotten(self) -> str:
        """The list of forgotten users, by keyed hash (a Delta table)."""
        return self.space_table("forgotten")

    @property
    def forgetting_request(self) -> str:
        """The file of a request to forget users, while that is under way."""
        return self.space_table("forgetting.run")

    @property
    def forgetting_records(self) -> str:
        """The folder of the records of requests to forget users."""
        return self.space_table("forgetting")

    @property
    def event_tables(self) -> dict[str, str]:
        return {name: self.space_table(f"events_{name}") for name in self.space.events}

    @property
    def attribute_tables(self) -> dict[str, str]:
        return {name: self.space_table(f"attributes_{name}") for name in self.space.attributes}

    @property
    def models(self) -> Path:
        """The folder of this group's models and reports.

        Raises:
            LatticeError: the warehouse is not a folder, and no --models was given.
        """
        if self.models_folder is not None:
            return self.models_folder
        if not is_local(self.warehouse):
            raise LatticeError(
                f"warehouse '{self.warehouse}'",
                "Models are kept in a folder, and this warehouse is none.",
                "Name a folder with --models.",
            )
        return local_path(self.group_table("models"))

    @cached_property
    def selection(self) -> Selection | None:
        """The selection of features that is effective today (UTC); None where the group has none: all are used.

        Raises:
            LatticeError: it names features that the space has no more.
        """
        found = effective_selection(self.group_table("selection"), datetime.now(UTC).date())
        known = {candidate.name for candidate in candidates(self.space)}
        if found is not None and (lost := [name for name in (*found.chosen, *found.pinned) if name not in known]):
            raise LatticeError(
                f"selection {found.version}",
                f"It uses '{lost[0]}' ({len(lost):,} such features), which the space does not have any more.",
                "Select anew with `lattice select`, or declare it again.",
            )
        return found

    @cached_property
    def computed(self) -> ModelSpace:
        """The space with the features that ``unified`` has: what is chosen, live models read, or slices look at.

        And what the ratios among them divide.
        """
        if self.selection is None:
            return self.space
        named = {*self.selection.chosen, *self.selection.pinned, *self._slices}
        return narrowed(self.space, with_parts(self.space, named))

    @cached_property
    def trained(self) -> ModelSpace:
        """The space with the features that a model is trained with."""
        return self.space if self.selection is None else narrowed(self.space, self.selection.chosen)

    @cached_property
    def evaluated(self) -> ModelSpace:
        """The space with the features that ``evaluation`` has: those that a model reads, or slices look at."""
        if self.selection is None:
            return self.space
        return narrowed(self.space, {*self.selection.chosen, *self._slices})

    @property
    def _slices(self) -> set[str]:
        return {part.feature for part in self.space.slices.values()}

    @property
    def pool(self) -> float:
        """The share of users whose rows keep every feature in ``pool``; 0 where ``unified`` itself has every one."""
        return 0.0 if self.selection is None else self.space.groups[self.group].pool

    @cached_property
    def plan(self) -> str:
        """What every row of the space's tables is made by: the space, the sample, and the key of keyed hashes."""
        keyed = [key_for("check").hex()] if any("users" in rule.forbid for rule in self.space.privacy) else []
        return fingerprint(
            self.space.model_dump_json(by_alias=True, exclude={"quality"}),
            self.sample.model_dump_json() if self.sample else "",
            *keyed,
            *filter(None, [self.space.quality.of_rows]),
        )

    @cached_property
    def group_plan(self) -> str:
        """What every row of the group's tables is made by: the plan, and which features are computed and trained with.

        Two selections of the same features are one plan.
        """
        if self.selection is None:
            return self.plan
        used = (sorted(names) for names in (self.selection.chosen, self.selection.pinned))
        return fingerprint(self.plan, *(json.dumps(names) for names in used))

    def table_plan(self, uri: str) -> str:
        """The plan of a table."""
        return self.group_plan if self._of_group(uri) else self.plan

    def _of_group(self, uri: str) -> bool:
        return uri.startswith(self.group_table(""))

    @property
    def plans_made(self) -> dict[str, Plan]:
        """What every row of the space's tables is made by, and every row of the group's, by fingerprint."""
        made = {self.plan: Plan(space=self.space, sample=self.sample)}
        if self.selection is not None:
            chosen, pinned = (tuple(sorted(names)) for names in (self.selection.chosen, self.selection.pinned))
            made[self.group_plan] = made[self.plan].model_copy(update={"chosen": chosen, "pinned": pinned})
        return made

    @property
    def end(self) -> datetime:
        """What a whole build goes up to: the end of what was observed, or the last midnight (UTC)."""
        return min(self.observed_until, datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0))

    @property
    def observed_until(self) -> datetime:
        """The end (exclusive) of what was recorded of any objective."""
        return max(objective.observed.end for objective in self.space.objectives.values())

    @cached_property
    def fingerprints(self) -> dict[str, str]:
        """For each stage of the build what its tables depend on: code, plan, raw input, selection, earlier stages."""
        code = code_fingerprint("schemas", "pipelines")
        raw = source_identity(self.space, self.folder)
        chain = {"ingest": fingerprint(code, self.plan, self.end.isoformat(), raw)}
        for stage, before in (("unify", "ingest"), ("zip", "unify"), ("hold-out", "zip"), ("prepare", "hold-out")):
            chain[stage] = fingerprint(stage, self.group, chain[before])
            if stage == "unify" and self.selection is not None:
                chain[stage] = fingerprint(chain[stage], self.group_plan)
        return chain


def fingerprint(*parts: str) -> str:
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def code_fingerprint(*packages: str) -> str:
    """A hash of the packages' Python sources: a change of code makes finished stages stale."""
    digest = hashlib.sha256()
    for package in packages:
        for name, source in sorted(_sources(resources.files(package))):
            digest.update(name.encode() + b"\0" + source + b"\0")
    return digest.hexdigest()


def _sources(folder: Traversable, within: str = "") -> Iterator[tuple[str, bytes]]:
    """The sources in a package, which may be a folder or lie in a zip file, by their path in it."""
    for entry in folder.iterdir():
        if entry.is_dir():
            yield from _sources(entry, f"{within}{entry.name}/")
        elif entry.name.endswith(".py"):
            yield within + entry.name, entry.read_bytes()
