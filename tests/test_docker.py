import re
from pathlib import Path

import yaml

from jobs.cli import COMMANDS

ROOT = Path(__file__).parent.parent
COMPOSE = yaml.safe_load((ROOT / "docker" / "compose.yaml").read_text())


def test_a_spark_cluster_and_a_trainer_share_one_image() -> None:
    services = COMPOSE["services"]
    assert {"master", "worker", "trainer"} <= set(services)
    for service in services.values():
        assert service["build"] == {"context": "..", "dockerfile": "docker/Dockerfile"}
        assert service["volumes"] == ["warehouse:/warehouse"]


def test_the_image_is_made_by_the_set_up_that_ci_runs_and_runs_as_no_root() -> None:
    lines = (ROOT / "docker" / "Dockerfile").read_text().splitlines()
    users = [line.split()[1] for line in lines if line.startswith("USER ")]
    assert users
    assert users[-1] not in ("root", "0")
    assert any(line.startswith("RUN") and re.search(r"\bmake setup\b", line) for line in lines)
    assert "make setup" in (ROOT / ".ci" / "run").read_text()


def test_what_the_trainer_runs_exists() -> None:
    script = COMPOSE["services"]["trainer"]["command"][-1]
    jobs = re.findall(r"jobs/\w+\.py", script)
    commands = re.findall(r"^lattice (\S+)", script, re.MULTILINE)
    assert jobs
    assert all((ROOT / job).exists() for job in jobs)
    assert commands
    assert set(commands) <= set(COMMANDS)
