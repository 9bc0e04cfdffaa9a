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
from pipelines.sources import source_identity
from pipelines.tables import is_local, join_uri
from pipelines.warehouse import local_path
from schemas.errors import LatticeError
from schemas.space import ModelSpace, Sample
from schemas.space_file import load_space, shipped_spaces


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
    def plan(self) -> str:
        """What every row of the tables is made by: the space, the sample, and the key of what is hashed with one."""
        keyed = [key_for("check").hex()] if any("users" in rule.forbid for rule in self.space.privacy) else []
        return fingerprint(
            self.space.model_dump_json(by_alias=True), self.sample.model_dump_json() if self.sample else "", *keyed
        )

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
        """For each stage of the build what its tables depend on: code, space, sample, raw input, earlier stages."""
        code = code_fingerprint("schemas", "pipelines")
        raw = source_identity(self.space, self.folder)
        chain = {"ingest": fingerprint(code, self.plan, self.end.isoformat(), raw)}
        for stage, before in (("unify", "ingest"), ("zip", "unify"), ("hold-out", "zip"), ("prepare", "hold-out")):
            chain[stage] = fingerprint(stage, self.group, chain[before])
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
