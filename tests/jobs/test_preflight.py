import ast
from pathlib import Path

import pytest

from jobs import preflight


def fake_java(folder: Path, version: str) -> Path:
    """An executable that answers ``-version`` as Java does."""
    java = folder / "bin" / "java"
    java.parent.mkdir(parents=True)
    java.write_text(f"#!/bin/sh\necho 'openjdk version \"{version}\" 2021-01-01' >&2\n")
    java.chmod(0o755)
    return java


def test_this_machine_passes() -> None:
    assert [preflight.message(check) for check in preflight.machine_checks() if not check.passed] == []


def test_the_source_parses_under_the_oldest_python_that_may_run_it() -> None:
    ast.parse(Path(preflight.__file__).read_text(), feature_version=(3, 6))


@pytest.mark.parametrize(
    ("version", "passed"),
    [("17", True), ("17.0.15", True), ("21.0.4", True), ("25-ea", False), ("11.0.2", False), ("1.8.0_412", False)],
)
def test_java_by_version(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, version: str, passed: bool) -> None:
    java = fake_java(tmp_path, version)
    monkeypatch.delenv("JAVA_HOME", raising=False)
    monkeypatch.setenv("PATH", str(java.parent))
    check = preflight.check_java()
    assert check.passed == passed
    assert check.found == f"{version} at {java}"


def test_java_home_goes_before_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    on_path, at_home = fake_java(tmp_path / "path", "17.0.1"), fake_java(tmp_path / "home", "11.0.2")
    monkeypatch.setenv("PATH", str(on_path.parent))
    monkeypatch.setenv("JAVA_HOME", str(tmp_path / "home"))
    assert preflight.check_java().found == f"11.0.2 at {at_home} (JAVA_HOME)"
    monkeypatch.setenv("JAVA_HOME", str(tmp_path / "nowhere"))
    assert not preflight.check_java().passed


def test_a_java_that_does_not_run_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake_java(tmp_path, "17").write_text("#!/bin/sh\necho 'Unable to locate a Java Runtime.'\nexit 1\n")
    monkeypatch.setenv("JAVA_HOME", str(tmp_path))
    assert preflight.check_java().found.startswith("none at ")


@pytest.mark.parametrize(
    ("bound", "value", "check"),
    [
        ("PYTHONS", ((3, 99),), "python"),
        ("GLIBC", (9, 0), "platform"),
        ("RUN_GB", 10**9, "disk"),
        ("MEMORY_GB", 10**9, "memory"),
    ],
)
def test_a_missed_bound_is_one_message_with_a_remedy(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], bound: str, value: object, check: str
) -> None:
    monkeypatch.setattr(preflight, bound, value)
    monkeypatch.setattr(preflight, "SETUP_GB", preflight.RUN_GB)
    assert preflight.main() == 1
    problem, remedy = capsys.readouterr().err.splitlines()
    assert problem.startswith(f"{check}: found ")
    assert remedy.startswith("  ")


def test_disk_is_looked_for_where_there_is_least(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UV_CACHE_DIR", "/proc/self")  # a file system without any room
    check = preflight.check_disk()
    assert not check.passed
    assert check.found == "0.0 GB free for /proc/self"
    assert "UV_CACHE_DIR" in check.remedy
