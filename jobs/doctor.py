"""``lattice doctor``: what the machine and the environment have, against what the project needs."""

import json
import shutil
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import typer
from packaging.requirements import Requirement
from rich.console import Console
from rich.table import Column, Table

from jobs import options
from jobs.jars import SHA256, spark_home, unfit
from jobs.preflight import ROOT, Check, machine_checks

SET_UP = "Run `make setup`."
_IMPORTS = (
    "import torch, fbgemm_gpu, torchrec; print(torch.cuda.get_device_name() if torch.cuda.is_available() else 'none')"
)


def doctor(as_json: options.Json = False) -> None:
    """Check the machine and the environment; exit with status 1 if something required is missing.

    Examples:

      lattice doctor

      lattice doctor --json
    """
    console = Console()
    with Console(stderr=True).status("Looking"):
        checks = [*machine_checks(), *environment_checks()]
    if as_json:
        print(json.dumps([check._asdict() for check in checks], indent=2))
    else:
        console.print(_table(checks))
        for check in checks:
            if not check.passed:
                console.print(f"{check.name}: {check.remedy}", markup=False, highlight=False, soft_wrap=True)
    if any(check.required and not check.passed for check in checks):
        raise typer.Exit(1)


def environment_checks() -> list[Check]:
    """Every check of the environment that runs this: packages, jars, devices."""
    lock = ROOT / ("cpu.lock" if _installed("fbgemm-gpu-cpu") else "cuda.lock")
    imported, device = _import_torch()
    return [
        check_lock(lock),
        Check(
            name="spark",
            found=f"pyspark {_installed('pyspark')}, delta-spark {_installed('delta-spark')}",
            needed="installed",
            passed=bool(_installed("pyspark") and _installed("delta-spark")),
            remedy=SET_UP,
        ),
        check_jars(spark_home() / "jars"),
        Check(
            name="torch",
            found=f"torch {_installed('torch')}, torchrec {_installed('torchrec')}, fbgemm {_fbgemm()}: {imported}",
            needed="imports",
            passed=imported == "imported",
            remedy="Run `make clean setup`; a CUDA environment on a machine without a driver: add LOCK=cpu.lock.",
        ),
        Check(
            name="cuda device",
            found=device,
            needed="one" if lock.name == "cuda.lock" else "to train on a GPU",
            passed=device != "none",
            remedy="To train on a GPU, run `make clean setup` where `nvidia-smi` lists one.",
            required=lock.name == "cuda.lock",
        ),
        Check(
            name="chromium",
            found=shutil.which("chromium") or "none",
            needed="to test the report",
            passed=shutil.which("chromium") is not None,
            remedy="To test the report in a browser, run `make browser`.",
            required=False,
        ),
    ]


def check_lock(lock: Path) -> Check:
    """Whether what is installed is what the lock pins."""
    pinned = [
        requirement
        for line in lock.read_text().splitlines()
        if line[:1].isalnum()
        and ((requirement := Requirement(line.removesuffix("\\"))).marker is None or requirement.marker.evaluate())
    ]
    off = [str(r).split(";")[0] for r in pinned if not r.specifier.contains(_installed(r.name) or "0")]
    return Check(
        name="lock",
        found=f"{lock.name}, {len(pinned) - len(off)} of {len(pinned)} packages"
        + (f"; not as pinned: {', '.join(off[:3])}{', ...' if len(off) > 3 else ''}" if off else ""),
        needed="every package as pinned",
        passed=not off,
        remedy=SET_UP,
    )


def check_jars(folder: Path) -> Check:
    """Whether Delta's jars lie beside Spark's, with the pinned checksums."""
    lacking = unfit(folder)
    return Check(
        name="delta jars",
        found=f"{len(SHA256) - len(lacking)} of {len(SHA256)}" + (f"; not {', '.join(lacking)}" if lacking else ""),
        needed="each with its pinned SHA-256",
        passed=not lacking,
        remedy="Run `python -m jobs.jars`.",
    )


def _import_torch() -> tuple[str, str]:
    """Whether the libraries load, tried in a process of its own, and the CUDA device that they see."""
    result = subprocess.run([sys.executable, "-c", _IMPORTS], capture_output=True, text=True)
    if result.returncode != 0:
        return (result.stderr.strip().splitlines() or [f"exit status {result.returncode}"])[-1], "none"
    return "imported", result.stdout.strip().splitlines()[-1]


def _fbgemm() -> str | None:
    return _installed("fbgemm-gpu-cpu") or _installed("fbgemm-gpu")


def _installed(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _table(checks: list[Check]) -> Table:
    table = Table("", Column("found", overflow="fold"), "needed", "")
    for check in checks:
        state = "[green]ok" if check.passed else "[bold red]missing" if check.required else "optional"
        table.add_row(check.name, check.found, check.needed, state)
    return table


if __name__ == "__main__":
    options.script(doctor)
