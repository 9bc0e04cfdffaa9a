"""A build on an object store: ``make store`` starts a local S3 server and runs ``python -m benchmarks.object_store``.

Raw tables and warehouse lie in a bucket of it, under ``s3a://`` as docs/cluster.md says. The labels of the test day
must be those that pandas computes from the files; then tables are compacted, old files deleted, and all is looked at
again.
"""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated

import typer
import yaml
from pyarrow.fs import LocalFileSystem, S3FileSystem, copy_files

from benchmarks.faults.cluster import SPARK
from benchmarks.quality_result import Machine
from benchmarks.results import Out, Result, Scratch, save
from jobs.target import Target
from pipelines.tables import published, read_rows
from tests.spaces.others import Counts, write_other

ROOT = Path(__file__).parents[1]
SDK = "2.57.8"
PACKAGES = (
    "org.apache.hadoop:hadoop-aws:3.4.1",
    *(f"software.amazon.awssdk:{part}:{SDK}" for part in ("s3", "s3-transfer-manager", "sts", "apache-client")),
)
"""Of Spark's own Hadoop version; parts of the SDK (16 MB) in place of all of it (600 MB), which Hadoop asks for."""
SUBMIT = (
    "--packages", ",".join(PACKAGES), "--exclude-packages", "software.amazon.awssdk:bundle",
    "--conf", "spark.hadoop.fs.s3a.path.style.access=true", "--conf", "spark.sql.shuffle.partitions=2",
    "--conf", "spark.databricks.delta.snapshotPartitions=1", "--conf", "spark.log.level=WARN",
    "--conf", "spark.ui.enabled=false", "--conf", "spark.driver.memory=1g",
)  # fmt: skip
_BUCKET = "lattice"


class ObjectStore(Result):
    """What was run, and what the store held then."""

    machine: Machine
    commands: tuple[str, ...]
    rows: dict[str, int]
    objects: tuple[int, int]
    """Data files in the warehouse, before and after it was compacted."""


def build(server: Path, folder: Path) -> ObjectStore:
    """Everything, on a server of its own."""
    commands: list[str] = []
    with _serving(server, folder):
        space, counts = write_other("installs", folder / "raw")
        bucket = S3FileSystem(endpoint_override=os.environ["AWS_ENDPOINT_URL"], allow_bucket_creation=True)
        bucket.create_dir(_BUCKET)
        copy_files(
            str(space.parent), f"{_BUCKET}/raw", source_filesystem=LocalFileSystem(), destination_filesystem=bucket
        )
        moved = _moved(space, folder / "installs.yaml")
        target = Target.parse(str(moved), f"s3a://{_BUCKET}/warehouse", "all")

        def run(*words: object, told: int = 1) -> None:
            subprocess.run([*map(str, words), "--space", moved, "--warehouse", target.warehouse], cwd=ROOT, check=True)
            commands.append(f"`{Path(str(words[0])).name} {' '.join(Path(str(word)).name for word in words[-told:])}`")

        endpoint = ("--conf", f"spark.hadoop.fs.s3a.endpoint={os.environ['AWS_ENDPOINT_URL']}")
        submit = (SPARK / "bin" / "spark-submit", *SUBMIT, *endpoint)
        run(*submit, ROOT / "jobs" / "build.py")
        _check(target, counts)
        before = len(data_files(bucket))
        run(*submit, ROOT / "jobs" / "build.py")
        lattice = Path(sys.executable).with_name("lattice")
        run(lattice, "compact", "--keep-days", 0, told=3)
        run(lattice, "status")
        _check(target, counts)
        rows = {uri.rsplit("/", 1)[-1]: found.rows for uri in target.tables if (found := published(uri))}
        return ObjectStore(
            machine=Machine.here(), commands=tuple(commands), rows=rows, objects=(before, len(data_files(bucket)))
        )


def data_files(bucket: S3FileSystem) -> list[str]:
    """The data files of the warehouse."""
    from pyarrow.fs import FileSelector

    found = bucket.get_file_info(FileSelector(f"{_BUCKET}/warehouse", recursive=True))
    return [info.path for info in found if info.path.endswith(".parquet") and "_delta_log" not in info.path]


def _check(target: Target, counts: Counts) -> None:
    table = published(target.group_table("evaluation"))
    if table is None:
        raise RuntimeError("nothing is published")
    rows = read_rows(table, ["domain", "split", "label_tap", "label_install"]).to_pandas()
    rows = rows[rows["split"] == "test"]
    for (domain, objective), expected in counts.items():
        labels = rows[rows["domain"] == domain][f"label_{objective}"].dropna()
        if (len(labels), int(labels.sum())) != expected:
            raise RuntimeError(f"{domain}/{objective}: {len(labels)}, {labels.sum()}; pandas counts {expected}")


def _moved(space: Path, to: Path) -> Path:
    """The space file with the raw tables in the bucket."""
    declared = yaml.safe_load(space.read_text(encoding="utf-8"))
    files = [
        *(domain["impressions"] for domain in declared["domains"].values()),
        *(objective["feedback"] for objective in declared["objectives"].values()),
        *(events["table"] for events in declared["events"].values()),
    ]
    places = {file["path"]: f"s3a://{_BUCKET}/raw/{file['path']}" for file in files}
    for file in files:
        file["path"] = places.get(file["path"], file["path"])
    to.write_text(yaml.safe_dump(declared), encoding="utf-8")
    return to


@contextmanager
def _serving(server: Path, folder: Path) -> Iterator[None]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = int(free.getsockname()[1])
    os.environ |= {
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}",
        "AWS_ALLOW_HTTP": "true",
        "AWS_REGION": "us-east-1",
        "AWS_ACCESS_KEY_ID": "local",
        "AWS_SECRET_ACCESS_KEY": "local",
    }
    with (folder / "server.log").open("wb") as log:
        process = subprocess.Popen([server, "--host", "127.0.0.1", "--port", str(port)], stdout=log, stderr=log)
        try:
            for _ in range(600):
                with socket.socket() as probe:
                    if probe.connect_ex(("127.0.0.1", port)) == 0:
                        break
                time.sleep(0.2)
            yield
        finally:
            process.terminate()
            process.wait()


def page(found: ObjectStore) -> str:
    """What was run, as Markdown."""
    return "\n".join(
        [
            "# A build on an object store",
            "",
            "By `make store`: raw tables and warehouse in a bucket of moto, a local S3 server. The labels of the test "
            f"day are those that pandas computes from the files. The warehouse had {found.objects[0]} data files, and "
            f"{found.objects[1]} after `lattice compact`, which deletes what no published version and no manifest "
            "needs.",
            "",
            "Run, in order:",
            "",
            *(f"- {command}" for command in found.commands),
            "",
            "| table | rows |",
            "| --- | ---: |",
            *(f"| {name} | {rows:,} |" for name, rows in found.rows.items()),
            "",
            str(found.machine),
            "",
        ]
    )


def main(
    server: Annotated[Path, typer.Option("--server", help="The program moto_server.")],
    scratch: Scratch = None,
    out: Out = Path("docs/results/object-store.md"),
) -> None:
    """Build on a bucket, and look."""
    with TemporaryDirectory(prefix="lattice-s3-", dir=scratch) as folder:
        (Path(folder) / "raw").mkdir()
        found = build(server, Path(folder))
    save(found, page(found), out)
    print(page(found))


if __name__ == "__main__":
    typer.run(main)
