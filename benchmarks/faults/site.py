"""Where faults happen: a small generated space, a warehouse before a night, and what undisturbed runs make of it.

A run that is disturbed is a process of its own, as a user starts it. The run after it goes through this process, whose
JVM is warm: what that one finds lies on the disk alone.
"""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from contextlib import redirect_stderr
from dataclasses import dataclass, field
from datetime import date
from functools import cached_property
from io import StringIO
from pathlib import Path

from pyspark.sql import SparkSession

from benchmarks.content import Content, content
from jobs.build import STAGES
from jobs.nightly import run_night
from jobs.stages import run_stages
from jobs.target import Target
from pipelines.session import spark_session
from pipelines.tables import published, read
from schemas.errors import LatticeError
from tests.spaces.video import write_video

ROOT = Path(__file__).parents[2]
NIGHT = date(2024, 4, 9)
"""The night that is disturbed; the warehouse it begins with holds all nights before."""
TIMEOUT = 1200.0
# Some hundred rows take no time; to compile code for them takes most of it.
_JVM = "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC"
_SPARK = """spark.sql.codegen.wholeStage false
spark.sql.codegen.factoryMode NO_CODEGEN
"""

Contents = dict[str, Content | None]


@dataclass
class Site:
    """The space, and the contents and seconds of undisturbed runs; ``prepare`` makes them."""

    folder: Path
    space: Path = field(init=False)
    wanted: dict[str, Contents] = field(default_factory=dict)
    before: dict[str, Contents] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)
    sizes: dict[str, tuple[int, int]] = field(default_factory=dict)
    """Bytes of the warehouse before and after."""

    def prepare(self) -> None:
        """Generate the space and run everything once, undisturbed."""
        data = self.folder / "small"
        data.mkdir(parents=True)
        write_video(data, seed=11, users=8, shown_a_day=1)
        self.space = Path(shutil.copy(Path(__file__).with_name("small.yaml"), data))
        (self.folder / "conf").mkdir()
        (self.folder / "conf" / "spark-defaults.conf").write_text(_SPARK, encoding="utf-8")
        os.environ.update(self._environment)
        run_night(self.target(self.template), NIGHT.replace(day=NIGHT.day - 1))
        for command in ("build", "nightly"):
            warehouse = self.fresh(command, "undisturbed")
            self.before[command], size = self.contents(warehouse), _size(warehouse)
            started = time.monotonic()
            code, said = self.run(command, warehouse)
            self.seconds[command] = time.monotonic() - started
            if code != 0:
                raise RuntimeError(f"an undisturbed {command} failed:\n{said}")
            self.wanted[command], self.sizes[command] = self.contents(warehouse), (size, _size(warehouse))
            shutil.rmtree(warehouse)

    @cached_property
    def spark(self) -> SparkSession:
        return spark_session("benchmark")

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

    def target(self, warehouse: Path) -> Target:
        return Target.parse(str(self.space), str(warehouse), "all")

    def contents(self, warehouse: Path) -> Contents:
        """What readers find in each table; None where nothing is published."""
        found = {uri: published(uri) for uri in self.target(warehouse).tables}
        return {
            uri.rsplit("/", 1)[-1]: content(read(self.spark, table)) if table else None for uri, table in found.items()
        }

    def run(self, command: str, warehouse: Path, kill_after: float | None = None) -> tuple[int, str]:
        """Run a command in a process of its own, and kill that at a moment; its exit status and its last words."""
        night = ["--date", str(NIGHT)] if command == "nightly" else []
        words = [sys.executable, "-m", "jobs.cli", command, *night, "--space", str(self.space)]
        with (self.folder / "run.log").open("w+b") as log:
            process = subprocess.Popen(
                [*words, "--warehouse", str(warehouse)], stdout=log, stderr=log, cwd=ROOT, start_new_session=True
            )
            try:
                code = process.wait(timeout=TIMEOUT if kill_after is None else kill_after)
            except subprocess.TimeoutExpired:
                # The driver's JVM is in the session that was started for it.
                os.killpg(process.pid, signal.SIGKILL)
                code = process.wait()
            log.seek(0)
            return code, log.read().decode(errors="replace")[-2000:]

    def run_again(self, command: str, warehouse: Path) -> bool:
        """Run a command in this process; whether it ended well."""
        target = self.target(warehouse)
        try:
            with redirect_stderr(StringIO()):
                run_night(target, NIGHT) if command == "nightly" else run_stages(target, STAGES)
        except LatticeError:
            return False
        return True

    @property
    def _environment(self) -> dict[str, str]:
        """Of this process and of those that it starts."""
        return {
            "PYTHONPATH": str(ROOT),
            "LATTICE_DRIVER_MEMORY": "1g",
            "JAVA_TOOL_OPTIONS": _JVM,
            "SPARK_CONF_DIR": str(self.folder / "conf"),
        }


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
