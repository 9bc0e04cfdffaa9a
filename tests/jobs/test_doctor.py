import json
from importlib.metadata import version
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from jobs import doctor as module
from jobs.doctor import check_jars, check_lock, doctor
from jobs.jars import SHA256

app = typer.Typer()
app.command()(doctor)


def test_this_environment_passes() -> None:
    result = CliRunner().invoke(app, ["--json"])
    checks = {check["name"]: check for check in json.loads(result.stdout)}
    assert [name for name, check in checks.items() if check["required"] and not check["passed"]] == []
    assert result.exit_code == 0
    assert list(checks)[:5] == ["platform", "python", "java", "disk", "memory"]
    assert {"lock", "spark", "delta jars", "torch", "cuda device", "chromium"} <= set(checks)
    assert version("torch") in checks["torch"]["found"]


def test_something_required_that_is_missing_fails(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("JAVA_HOME", str(tmp_path))
    monkeypatch.setattr(module, "environment_checks", list)  # they take long, and are not what this is about
    result = CliRunner().invoke(app)
    assert result.exit_code == 1
    assert "java: Install Java 17" in result.stdout


def test_lock_names_the_packages_that_are_not_as_pinned(tmp_path: Path) -> None:
    lock = tmp_path / "some.lock"
    lock.write_text(
        f"pytest=={version('pytest')} ; sys_platform == 'linux' \\\n    --hash=sha256:00\n"
        "rich==0.0.1 ; sys_platform == 'linux' \\\n    --hash=sha256:00\n"
        "not-there-at-all==1.0\n"
        "colorama==0.4.6 ; sys_platform == 'win32'\n"
    )
    check = check_lock(lock)
    assert not check.passed
    assert check.found == "some.lock, 1 of 3 packages; not as pinned: rich==0.0.1, not-there-at-all==1.0"


def test_jars_names_what_is_missing(tmp_path: Path) -> None:
    check = check_jars(tmp_path)
    assert not check.passed
    assert check.found == f"0 of 3; not {', '.join(SHA256)}"
