"""Where faults happen: the generated video space, a warehouse before a night, and what undisturbed runs make of it."""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path

from pyspark.sql import SparkSession

from benchmarks.content import Content, content
from jobs.target import Target
from pipelines.tables import published, read
from tests.spaces.video import write_video

ROOT = Path(__file__).parents[2]
NIGHT = date(2024, 4, 9)
"""The night that is disturbed; the warehouse it begins with holds all nights before."""
TIMEOUT = 1200.0

Contents = dict[str, Content | None]


@dataclass
class Site:
    """The space, and the contents and seconds of undisturbed runs; ``prepare`` makes them."""

    folder: Path
    spark: SparkSession
    space: Path = field(init=False)
    wanted: dict[str, Contents] = field(default_factory=dict)
    before: dict[str, Contents] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)
    sizes: dict[str, tuple[int, int]] = field(default_factory=dict)
    """Bytes of the warehouse before and after."""

    def prepare(self) -> None:
        """Generate the space and run everything once, undisturbed."""
        (self.folder / "video").mkdir(parents=True)
        self.space = write_video(self.folder / "video", seed=11, users=12, shown_a_day=2)
        earlier = NIGHT.replace(day=NIGHT.day - 1)
        self._undisturbed(["nightly", "--date", str(earlier)], self.template)
        for command in ("build", "nightly"):
            warehouse = self.fresh(command, "undisturbed")
            self.before[command], size = self.contents(warehouse), _size(warehouse)
            started = time.monotonic()
            self._undisturbed(self.arguments(command), warehouse)
            self.seconds[command] = time.monotonic() - started
            self.wanted[command], self.sizes[command] = self.contents(warehouse), (size, _size(warehouse))
            shutil.rmtree(warehouse)

    @property
    def template(self) -> Path:
        return self.folder / "before"

    def fresh(self, command: str, name: str) -> Path:
        """A warehouse for one run: empty for a build, with all nights before for a night."""
        warehouse = self.folder / name
        if command == "nightly":
            shutil.copytree(self.template, warehouse)
            _moved(warehouse, self.template)
        return warehouse

    def arguments(self, command: str) -> list[str]:
        return ["nightly", "--date", str(NIGHT)] if command == "nightly" else [command]

    def target(self, warehouse: Path) -> Target:
        return Target.parse(str(self.space), str(warehouse), "all")

    def contents(self, warehouse: Path) -> Contents:
        """What readers find in each table; None where nothing is published."""
        found = {uri: published(uri) for uri in self.target(warehouse).tables}
        return {
            uri.rsplit("/", 1)[-1]: content(read(self.spark, table)) if table else None for uri, table in found.items()
        }

    def run(self, arguments: list[str], warehouse: Path, kill_after: float | None = None) -> tuple[int, str]:
        """Run a command in a process of its own, and kill that at a moment; its exit status and its last words."""
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "LATTICE_DRIVER_MEMORY": "1g"}
        command = [sys.executable, "-m", "jobs.cli", *arguments, "--space", str(self.space)]
        with (self.folder / "run.log").open("w+b") as log:
            process = subprocess.Popen(
                [*command, "--warehouse", str(warehouse)],
                env=environment, stdout=log, stderr=log, cwd=ROOT, start_new_session=True,
            )  # fmt: skip
            try:
                code = process.wait(timeout=TIMEOUT if kill_after is None else kill_after)
            except subprocess.TimeoutExpired:
                # The driver's JVM is in the session that was started for it.
                os.killpg(process.pid, signal.SIGKILL)
                code = process.wait()
            log.seek(0)
            return code, log.read().decode(errors="replace")[-2000:]

    def _undisturbed(self, arguments: list[str], warehouse: Path) -> None:
        code, said = self.run(arguments, warehouse)
        if code != 0:
            raise RuntimeError(f"an undisturbed {' '.join(arguments)} failed:\n{said}")


def whole(found: Contents, *allowed: Mapping[str, Content | None]) -> bool:
    """Whether each table is as one of the allowed contents has it."""
    return all(any(found[name] == contents[name] for contents in allowed) for name in found)


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def _moved(warehouse: Path, origin: Path) -> None:
    """Manifests and runs name tables by where they lie."""
    for path in warehouse.rglob("*.json"):
        if "_delta_log" not in path.parts:
            text = path.read_text(encoding="utf-8")
            path.write_text(text.replace(f"{origin}/", f"{warehouse}/"), encoding="utf-8")
