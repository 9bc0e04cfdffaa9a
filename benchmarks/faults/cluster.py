"""A standalone cluster on loopback, of a master and two workers, of which an executor is killed while a build runs."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import psutil
import pyspark

from benchmarks.faults.site import ROOT, TIMEOUT, Site

_HOST = "127.0.0.1"
SPARK = Path(pyspark.__file__).parent
_SETTINGS = {
    "spark.driver.memory": "1g",
    "spark.executor.memory": "768m",
    "spark.executor.cores": "1",
    "spark.executorEnv.PYTHONPATH": str(ROOT),
    "spark.driver.host": _HOST,
    "spark.sql.shuffle.partitions": "4",
    "spark.databricks.delta.snapshotPartitions": "2",
    "spark.ui.enabled": "false",
}


def lose_executor(site: Site, warehouse: Path, table: Path) -> tuple[int, int]:
    """Build through spark-submit, and kill an executor once a table's folder has appeared.

    Returns:
        The exit status of the build, and how many executors were killed.
    """
    killed: list[int] = []
    with standalone(site.folder, _environment()) as (master, workers), (site.folder / "cluster.log").open("wb") as log:
        settings = [part for key, value in _SETTINGS.items() for part in ("--conf", f"{key}={value}")]
        command = [SPARK / "bin" / "spark-submit", "--master", master, *settings, ROOT / "jobs" / "build.py"]
        build = subprocess.Popen(
            [*map(str, command), "--space", str(site.space), "--warehouse", str(warehouse)],
            env=_environment(), stdout=log, stderr=log, cwd=ROOT,
        )  # fmt: skip
        until = time.monotonic() + TIMEOUT
        while build.poll() is None and time.monotonic() < until:
            if not killed and table.exists():
                killed = _kill_one(workers)
            time.sleep(0.1)
        build.kill()
        return build.wait(), len(killed)


def _kill_one(workers: list["subprocess.Popen[bytes]"]) -> list[int]:
    """Kill -9 the first executor that is found among the workers' children."""
    for worker in workers:
        for child in psutil.Process(worker.pid).children(recursive=True):
            if any("CoarseGrainedExecutorBackend" in word for word in child.cmdline()):
                child.kill()
                return [child.pid]
    return []


@contextmanager
def standalone(
    folder: Path, environment: Mapping[str, str]
) -> Iterator[tuple[str, list["subprocess.Popen[bytes]"]]]:  # fmt: skip
    """A master's URL and two workers of one core each, on loopback; their logs and files lie in a folder."""
    port = _free_port()
    master = f"spark://{_HOST}:{port}"
    with (folder / "standalone.log").open("ab") as log:

        def start(role: str, *arguments: object) -> "subprocess.Popen[bytes]":
            words = [SPARK / "bin" / "spark-class", f"org.apache.spark.deploy.{role}", "--host", _HOST, *arguments]
            return subprocess.Popen([str(word) for word in words], env=environment, cwd=folder, stdout=log, stderr=log)

        started = [start("master.Master", "--port", port, "--webui-port", _free_port())]
        try:
            _wait_for(port)
            for number in range(2):
                place = ("--webui-port", _free_port(), "--work-dir", folder / f"work-{number}")
                started.append(start("worker.Worker", "--cores", 1, "--memory", "1g", *place, master))
            yield master, started[1:]
        finally:
            for process in reversed(started):
                process.terminate()
            for process in started:
                process.wait()


def _environment() -> dict[str, str]:
    kept = {key: value for key, value in os.environ.items() if key != "SPARK_ENV_LOADED"}
    return {
        **kept,
        "SPARK_HOME": str(SPARK),
        "PYTHONPATH": str(ROOT),
        "PYSPARK_PYTHON": sys.executable,
        "SPARK_LOCAL_IP": _HOST,
    }


def _free_port() -> int:
    with socket.socket() as found:
        found.bind((_HOST, 0))
        return int(found.getsockname()[1])


def _wait_for(port: int) -> None:
    for _ in range(120):
        with socket.socket() as probe:
            if probe.connect_ex((_HOST, port)) == 0:
                return
        time.sleep(0.5)
    raise TimeoutError(f"nothing listens on port {port}")
