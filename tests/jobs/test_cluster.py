"""A real standalone cluster, whose machines have the libraries and not the project: spark-submit ships it to them."""

import json
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

import pytest

from benchmarks.faults.cluster import SPARK, standalone
from pipelines.tables import published
from tests.spaces.others import write_other

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "cluster.md"
JOB = '''
"""A job as a user writes one: the project's own ingest, and the project's Python on the executors."""
import json, sys
from jobs.ingest import STAGE
from jobs.stages import run_stages
from jobs.target import Target
from pipelines.drift import profile
from pipelines.session import spark_session
from pipelines.tables import published, read


def place(_):
    import os
    import pipelines
    return [(pipelines.__file__, os.getcwd())]


target = Target.parse(sys.argv[1], sys.argv[2], "all")
run_stages(target, [STAGE], "ingest")
spark = spark_session("cluster")
shown = read(spark, published(target.space_table("impressions")))
places = spark.sparkContext.parallelize(range(2), 2).mapPartitions(place).collect()
found = profile(shown.repartition(2).selectExpr("domain", "double(slot) slot"), ["slot"]).domains["banner"]
print(json.dumps({"places": places, "rows": found.rows, "known": found.columns["slot"].known,
                  "mean": found.columns["slot"].mean, "master": spark.sparkContext.master}))
'''


@pytest.fixture
def python(tmp_path: Path) -> Path:
    """A Python that has every library of this one but not the project."""
    folder = tmp_path / "python"
    venv.create(folder, symlinks=True)
    inside = Path(sysconfig.get_path("purelib", vars={"base": str(folder)}))
    # What is found through a line of a .pth file is imported, yet its own .pth files, the project's, are not read.
    (inside / "libraries.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return folder / "bin" / "python"


def test_the_project_is_shipped_to_workers_that_do_not_have_it(python: Path, tmp_path: Path) -> None:
    environment = {
        **{key: value for key, value in os.environ.items() if not key.startswith(("SPARK", "PYTHON", "PYSPARK"))},
        "SPARK_HOME": str(SPARK),
        "PYSPARK_PYTHON": str(python),
        "SPARK_LOCAL_IP": "127.0.0.1",
        "JAVA_TOOL_OPTIONS": "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC",
    }
    data = tmp_path / "installs"
    data.mkdir()
    space, _ = write_other("installs", data)
    nowhere = tmp_path / "nowhere"
    nowhere.mkdir()
    job = nowhere / "job.py"
    job.write_text(JOB)
    for module, found in (("pyarrow", 0), ("deltalake", 0), ("pipelines", 1)):
        tried = subprocess.run([python, "-c", f"import {module}"], cwd=nowhere, env=environment, capture_output=True)
        assert tried.returncode == found, (module, tried.stderr)
    _make_archive(nowhere)

    settings = {"spark.driver.memory": "1g", "spark.executor.memory": "768m", "spark.driver.host": "127.0.0.1",
                "spark.ui.enabled": "false", "spark.sql.shuffle.partitions": "2", "spark.executor.cores": "1",
                "spark.databricks.delta.snapshotPartitions": "1"}  # fmt: skip
    with standalone(tmp_path, environment) as (master, _):
        submitted = subprocess.run(
            [SPARK / "bin" / "spark-submit", "--master", master, "--py-files", "lattice.zip",
             *(part for key, value in settings.items() for part in ("--conf", f"{key}={value}")),
             job, space, tmp_path / "warehouse"],
            cwd=nowhere, env=environment, capture_output=True, text=True, timeout=540, check=False,
        )  # fmt: skip
    assert submitted.returncode == 0, submitted.stderr[-3000:]
    found = json.loads(submitted.stdout.splitlines()[-1])
    assert found["master"] == master
    for file, working in found["places"]:
        assert "lattice.zip/pipelines" in file
        assert re.search(r"/work-[01]/app-", working), working
    assert (found["rows"], found["known"], found["mean"]) == (160, 160, 1.5)
    table = published(str(tmp_path / "warehouse" / "installs" / "impressions"))
    assert table is not None and table.rows == 320


def _make_archive(into: Path) -> None:
    """By the command of the page, run where the project lies."""
    (command,) = re.findall(r"^(python -m zipfile .*)$", PAGE.read_text(), re.MULTILINE)
    program, *arguments = command.split()
    assert program == "python"
    subprocess.run([sys.executable, *arguments], cwd=ROOT, check=True)
    shutil.move(ROOT / "lattice.zip", into / "lattice.zip")
