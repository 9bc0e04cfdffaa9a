"""The command line: every command explains itself with examples, and a script takes the same options."""

import json
import sys
from importlib import import_module
from importlib.resources import files
from inspect import getsource
from pathlib import Path

import pytest
from typer.testing import CliRunner

from jobs.cli import COMMANDS, application
from schemas.space import ModelSpace

RUNNER = CliRunner()


@pytest.mark.parametrize("name", COMMANDS)
def test_help_has_examples(name: str) -> None:
    shown = RUNNER.invoke(application(name), [name, "--help"])
    assert shown.exit_code == 0
    assert "Example" in shown.output
    assert f"lattice {name}" in shown.output


def test_all_commands_are_listed() -> None:
    shown = RUNNER.invoke(application(None), ["--help"])
    assert all(name in shown.output for name in COMMANDS)


def test_schema_is_the_space_files_json_schema() -> None:
    shown = RUNNER.invoke(application("schema"), ["schema"])
    schema = json.loads(shown.output)
    assert set(schema["properties"]) == set(ModelSpace.model_fields)
    assert schema["additionalProperties"] is False


@pytest.mark.parametrize("name", sorted(set(COMMANDS) - {"doctor", "schema"}))
def test_the_job_of_a_command_is_a_script(name: str) -> None:
    _, module, function = COMMANDS[name]
    job = import_module(module)
    assert callable(getattr(job, function))
    source = getsource(job)
    assert f"options.script({function})" in source


def test_no_job_hides_a_module_of_pythons() -> None:
    # A script's own folder comes first where modules are looked for.
    names = {path.stem for path in Path(str(files("jobs"))).glob("*.py")}
    assert "ingest" in names
    assert not names & sys.stdlib_module_names
