"""Delta's Java libraries, fetched once at set-up so that every later Spark start is offline.

The delta-spark wheel carries no jars. Spark's own resolver (Ivy) fetches them and they are put beside Spark's, where
`spark-submit` and a session alike find them without `--packages`. Run by `make setup`: ``python -m jobs.jars``.
"""

import hashlib
import os
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory

from schemas.errors import LatticeError

COORDINATES = "io.delta:delta-spark_2.13:4.0.1"
SHA256 = {
    "delta-spark_2.13-4.0.1.jar": "a1e76860b19fe1e6b205a4ea7a9099a2f9575d39bb71d49b3e679b299d0efb91",
    "delta-storage-4.0.1.jar": "ecc42c5aaa51c423312d9e4e48aa4a12b34740bf2c37de0e8f279277ec3d12e4",
    "antlr4-runtime-4.13.1.jar": "54665d2838cc66458343468efc539e454fc95b46a8a04b13c6ac43fc9be63505",
}
"""File name -> checksum: delta-spark and what it depends on (Spark ships the same antlr4-runtime)."""

REMEDY = (
    "Run `make setup` again with a connection to Maven Central, or name a mirror of it in the environment variable "
    "DEFAULT_ARTIFACT_REPOSITORY."
)


def spark_home() -> Path:
    """The Spark that the environment's pyspark carries, whatever SPARK_HOME says."""
    spec = find_spec("pyspark")
    if spec is None or spec.origin is None:
        raise LatticeError("environment", "pyspark is not installed.", "Run `make setup`.")
    return Path(spec.origin).parent


def unfit(folder: Path) -> list[str]:
    """The jars that ``folder`` lacks, or holds with another checksum than the pinned one."""
    return [name for name, pinned in SHA256.items() if _sha256(folder / name) != pinned]


def install(home: Path) -> list[str]:
    """Fetch what ``home``'s jars folder lacks; return the names of the jars put there.

    Raises:
        LatticeError: the fetch failed, or brought a file whose checksum is not the pinned one.
    """
    names = unfit(home / "jars")
    if names:
        with TemporaryDirectory() as scratch:
            fetched = _fetch(home, Path(scratch))
            for name in names:
                _place(name, fetched, home / "jars")
    return names


def _fetch(home: Path, scratch: Path) -> Path:
    application = scratch / "nothing.py"  # spark-submit resolves packages before it runs this
    application.touch()
    submit = str(home / "bin" / "spark-submit")
    result = subprocess.run(
        [submit, "--packages", COORDINATES, "--conf", f"spark.jars.ivy={scratch}", str(application)],
        env={**os.environ, "SPARK_HOME": str(home)},
        capture_output=True,
        text=True,
    )
    if result.returncode != 0:
        lines = [line.strip() for line in (result.stderr or result.stdout).splitlines()]
        reason = next((line for line in lines if "Exception" in line or "ERROR" in line), "no reason given")
        raise LatticeError("Delta jars", f"Spark could not fetch {COORDINATES}: {reason}", REMEDY)
    return scratch / "jars"


def _place(name: str, fetched: Path, folder: Path) -> None:
    found = next(fetched.glob(f"*_{name}"), None)
    if found is None or _sha256(found) != SHA256[name]:
        problem = "is not among the fetched files" if found is None else f"has the checksum {_sha256(found)}"
        raise LatticeError("Delta jars", f"{name} {problem}; {SHA256[name]} is expected.", REMEDY)
    partial = folder / f"{name}.partial"  # renamed once whole: a killed set-up leaves no half jar on Spark's path
    shutil.copyfile(found, partial)
    partial.replace(folder / name)


def _sha256(file: Path) -> str | None:
    return hashlib.sha256(file.read_bytes()).hexdigest() if file.is_file() else None


if __name__ == "__main__":
    try:
        placed = install(spark_home())
    except LatticeError as error:
        print(error, file=sys.stderr)
        sys.exit(2)
    print(f"Delta jars: fetched {', '.join(placed)}" if placed else "Delta jars: present")
