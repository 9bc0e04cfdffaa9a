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
from contextlib import redirect_stderr, suppress
from dataclasses import dataclass, field
from datetime import date
from functools import cached_property
from io import StringIO
from pathlib import Path

import psutil
from pydantic import RootModel
from pyspark.sql import SparkSession

from benchmarks.content import Content, content
from benchmarks.results import Result
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
_PAGE = 4096
# Some hundred rows take no time; to compile code for them takes most of it.
_JVM = "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC -XX:ReservedCodeCacheSize=192m"
_SPARK = """spark.sql.codegen.wholeStage false
spark.sql.codegen.factoryMode NO_CODEGEN
"""

Contents = dict[str, Content | None]


class Undisturbed(Result):
    """What a run finds and leaves that nothing disturbs, and what it takes."""

    before: Contents
    wanted: Contents
    cpu: float
    """Seconds of Python and the JVM, by which moments are told: a busy machine does not move them."""
    bytes_before: int
    bytes_after: int


_Kept = RootModel[dict[str, Undisturbed]]


@dataclass
class Site:
    """The space, and the undisturbed runs by command; ``prepare`` makes them, unless the folder has them already."""

    folder: Path
    undisturbed: dict[str, Undisturbed] = field(default_factory=dict)

    @property
    def space(self) -> Path:
        return self.folder / "small" / "small.yaml"

    @property
    def template(self) -> Path:
        return self.folder / "before"

    def prepare(self) -> None:
        """Generate the space and run everything once, undisturbed."""
        os.environ.update(self._environment)
        kept = self.folder / "undisturbed.json"
        if kept.exists():
            self.undisturbed = _Kept.model_validate_json(kept.read_text(encoding="utf-8")).root
            return
        shutil.rmtree(self.folder, ignore_errors=True)
        self.space.parent.mkdir(parents=True)
        write_video(self.space.parent, seed=11, users=8, shown_a_day=1)
        shutil.copy(Path(__file__).with_name("small.yaml"), self.space)
        (self.folder / "conf").mkdir()
        (self.folder / "conf" / "spark-defaults.conf").write_text(_SPARK, encoding="utf-8")
        run_night(self.target(self.template), NIGHT.replace(day=NIGHT.day - 1))
        self.undisturbed = {command: self._undisturbed(command) for command in ("build", "nightly")}
        kept.write_text(_Kept(self.undisturbed).model_dump_json(), encoding="utf-8")

    def _undisturbed(self, command: str) -> Undisturbed:
        warehouse = self.fresh(command, "undisturbed")
        before, size = self.contents(warehouse), _size(warehouse)
        code, said, cpu = self.run(command, warehouse)
        if code != 0:
            raise RuntimeError(f"an undisturbed {command} failed:\n{said}")
        made = Undisturbed(
            before=before, wanted=self.contents(warehouse), cpu=cpu, bytes_before=size, bytes_after=_size(warehouse)
        )
        shutil.rmtree(warehouse)
        return made

    @cached_property
    def spark(self) -> SparkSession:
        return spark_session("benchmark")

    def fresh(self, command: str, name: str) -> Path:
        """A warehouse for one run: empty for a build, with all nights before for a night."""
        warehouse = self.folder / name
        shutil.rmtree(warehouse, ignore_errors=True)
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

    def run(self, command: str, warehouse: Path, kill_at: float | None = None) -> tuple[int, str, float]:
        """Run a command in a process of its own, and kill that once it has taken so many CPU seconds.

        Returns:
            Its exit status, its last words, and the CPU seconds that it took.
        """
        night = ["--date", str(NIGHT)] if command == "nightly" else []
        words = [sys.executable, "-m", "jobs.cli", command, *night, "--space", str(self.space)]
        with (self.folder / "run.log").open("w+b") as log:
            process = subprocess.Popen(
                [*words, "--warehouse", str(warehouse)], stdout=log, stderr=log, cwd=ROOT, start_new_session=True
            )
            taken, until = 0.0, time.monotonic() + TIMEOUT
            while process.poll() is None and time.monotonic() < until:
                taken = max(taken, _cpu_seconds(process.pid))
                if kill_at is not None and taken >= kill_at:
                    break
                time.sleep(0.2)  # to look costs more than to wait
            if process.poll() is None:
                # The driver's JVM is in the session that was started for it.
                os.killpg(process.pid, signal.SIGKILL)
            code = process.wait()
            log.seek(0)
            return code, log.read().decode(errors="replace")[-2000:], taken

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


def _cpu_seconds(pid: int) -> float:
    """Of a process and all that it has started."""
    total = 0.0
    with suppress(psutil.NoSuchProcess):
        root = psutil.Process(pid)
        for process in (root, *root.children(recursive=True)):
            with suppress(psutil.NoSuchProcess):
                total += sum(process.cpu_times()[:2])
    return total


def whole(found: Contents, *allowed: Mapping[str, Content | None]) -> bool:
    """Whether each table is as one of the allowed contents has it."""
    return all(any(found[name] == contents[name] for contents in allowed) for name in found)


def _size(folder: Path) -> int:
    """The bytes that a folder's files take of a disk, in whole pages."""
    return sum(-(-path.stat().st_size // _PAGE) * _PAGE for path in folder.rglob("*") if path.is_file())


def _moved(warehouse: Path, origin: Path) -> None:
    """Manifests and runs name tables by where they lie."""
    for path in warehouse.rglob("*.json"):
        if "_delta_log" not in path.parts:
            text = path.read_text(encoding="utf-8")
            path.write_text(text.replace(f"{origin}/", f"{warehouse}/"), encoding="utf-8")
