"""The README's commands before anything is downloaded, and the locks that they install."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
FILES = ("Makefile", "setup.cfg", "pyproject.toml", "bootstrap.txt", "cpu.lock", "cuda.lock")
COMMANDS = ("awk", "bash", "cat", "cut", "make", "sha256sum", "uname")
PIN = re.compile(r"^([a-z0-9._-]+)==(\S+)", re.MULTILINE)


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A checkout, as far as set-up sees it, and beside it a ``bin`` with neither Python nor Java."""
    for name in FILES:
        shutil.copy(ROOT / name, tmp_path)
    shutil.copytree(ROOT / "jobs", tmp_path / "jobs", ignore=shutil.ignore_patterns("__pycache__"))
    (tmp_path / "bin").mkdir()
    for command in COMMANDS:
        (tmp_path / "bin" / command).symlink_to(shutil.which(command) or "missing")
    return tmp_path


def make(checkout: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {"PATH": str(checkout / "bin"), "HOME": str(checkout / "home")}
    return subprocess.run(["make", *arguments], cwd=checkout, env=environment, capture_output=True, text=True)


def add(checkout: Path, name: str, script: str) -> None:
    (checkout / "bin" / name).write_text(f"#!/bin/bash\n{script}\n")
    (checkout / "bin" / name).chmod(0o755)


def nothing_was_made(checkout: Path) -> bool:
    return not any((checkout / name).exists() for name in (".venv", ".cache", "home"))


@pytest.mark.parametrize("target", ["demo", "test"])
def test_no_python(checkout: Path, target: str) -> None:
    result = make(checkout, target)
    assert result.returncode != 0
    assert result.stderr.startswith("python: found none on PATH; needed: 3.11 or 3.12, with venv.\n  Install it")
    assert nothing_was_made(checkout)


def test_no_java(checkout: Path) -> None:
    add(checkout, "python3", f'exec {sys.executable} "$@"')
    result = make(checkout, "demo")
    assert result.returncode != 0
    assert result.stderr.startswith("java: found none on PATH; needed: 17 or 21.\n  Install Java 17")
    assert nothing_was_made(checkout)


def test_wrong_java(checkout: Path) -> None:
    add(checkout, "python3.12", f'exec {sys.executable} "$@"')
    add(checkout, "java", "echo 'openjdk version \"11.0.2\"' >&2")
    result = make(checkout, "demo")
    assert result.returncode != 0
    assert result.stderr.startswith(f"java: found 11.0.2 at {checkout}/bin/java; needed: 17 or 21.\n  Install Java 17")
    assert nothing_was_made(checkout)


def test_help_lists_every_target(checkout: Path) -> None:
    targets = re.findall(r"^\.PHONY: (.*)$", (ROOT / "Makefile").read_text(), re.MULTILINE)[0].split()
    listed = re.findall(r"^  make (\w+) +\S", make(checkout).stdout, re.MULTILINE)
    assert sorted(listed) == sorted(targets)


@pytest.mark.parametrize("name", ["cpu.lock", "cuda.lock", "bootstrap.txt"])
def test_every_locked_package_has_hashes_and_no_lock_names_a_host(name: str) -> None:
    text = (ROOT / name).read_text()
    entries = re.split(r"\n(?=[a-z])", text)[1:]
    assert entries
    assert [entry.split()[0] for entry in entries if "--hash=sha256:" not in entry] == []
    assert "://" not in text


def test_the_locks_differ_in_fbgemm_alone() -> None:
    cpu, cuda = (dict(PIN.findall((ROOT / name).read_text())) for name in ("cpu.lock", "cuda.lock"))
    assert cpu.pop("fbgemm-gpu-cpu") == cuda.pop("fbgemm-gpu")
    assert cpu == cuda
