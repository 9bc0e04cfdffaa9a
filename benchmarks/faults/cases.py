"""The faults: a driver that is killed, a disk that is full, a file that is spoilt, an executor that is lost."""

import random
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.faults.cluster import lose_executor
from benchmarks.faults.site import Site, whole
from benchmarks.results import Result


class Fault(Result):
    """One run that something ended, and the run after it."""

    key: str = ""
    """Which of the planned faults it is."""
    case: str
    command: str
    detail: str
    ended: str
    """How the disturbed run ended."""
    readers: bool | None
    """Whether readers then found each table as it was before or as it is to be; None if they could not read one."""
    equal: bool
    """Whether the next run left what an undisturbed one does."""


def killed(site: Site, command: str, seed: int) -> Fault:
    """Kill -9 the driver, Python and JVM, at a moment of the undisturbed run's CPU time."""
    moment = random.Random(seed).uniform(0.0, site.undisturbed[command].cpu)
    while True:
        warehouse = site.fresh(command, "killed")
        code, said, _ = site.run(command, warehouse, kill_at=moment)
        if code == -9:
            break
        if code != 0:
            raise RuntimeError(f"a {command} that nobody had killed failed:\n{said}")
        moment *= 0.9  # it took less than the undisturbed one, and had ended
    return _after(site, command, warehouse, "driver killed", f"after {moment:.1f} CPU seconds", "killed")


def full_disk(site: Site, command: str, share: float) -> Fault:
    """Give the warehouse a file system of a share of what it needs; later one that is large enough."""
    with _file_system(site.folder / "disk") as disk:
        usual = site.undisturbed[command]
        warehouse = site.fresh(command, "disk/warehouse")
        room = (_used(disk) + int(share * (usual.bytes_after - usual.bytes_before))) // 1024
        subprocess.run(["mount", "-o", f"remount,size={room}k", str(disk)], check=True)
        code, said, _ = site.run(command, warehouse)
        ended = f"exit {code}" + (", 'The disk is full'" if "disk is full" in said else "")
        subprocess.run(["mount", "-o", "remount,size=1g", str(disk)], check=True)
        return _after(site, command, warehouse, "disk full", f"{room} KiB", ended)


def spoilt_input(site: Site, command: str, seed: int) -> Fault:
    """Cut a raw Parquet file short; put it back before the next run."""
    chosen = random.Random(seed).choice(sorted(site.space.parent.rglob("*.parquet")))
    kept = chosen.read_bytes()
    warehouse = site.fresh(command, "spoilt")
    try:
        chosen.write_bytes(kept[: len(kept) // 2])
        code, said, _ = site.run(command, warehouse)
    finally:
        chosen.write_bytes(kept)
    ended = f"exit {code}" + (", names the file" if chosen.name in said else "")
    return _after(site, command, warehouse, "raw file cut short", chosen.name, ended)


def spoilt_table(site: Site, seed: int) -> Fault:
    """Overwrite a file of the events that a night reads; then delete that table, as its message says, and build."""
    warehouse = site.fresh("nightly", "spoilt-table")
    folder = Path(site.target(warehouse).event_tables["plays"])
    chosen = random.Random(seed).choice(sorted(folder.glob("*.parquet")))
    chosen.write_bytes(bytes(chosen.stat().st_size))
    code, said, _ = site.run("nightly", warehouse)
    ended = f"exit {code}" + (", names the file" if chosen.name in said else "")
    shutil.rmtree(folder)
    # What it held is lost to readers until then.
    return _after(
        site, "build", warehouse, "table's file overwritten", "then the table is deleted", ended, looked=False
    )


def lost_executor(site: Site, seed: int) -> Fault:
    """Build on a standalone cluster of two workers and kill -9 one executor while it works."""
    warehouse = site.fresh("build", "cluster")
    table = random.Random(seed).choice([uri for uri in site.target(warehouse).tables if "attributes" not in uri])
    code, lost = lose_executor(site, warehouse, Path(table))
    ended = f"exit {code}, {lost} executor killed"
    detail = f"while {Path(table).name} was written"
    return _after(site, "build", warehouse, "executor killed", detail, ended)


def _after(site: Site, command: str, warehouse: Path, case: str, detail: str, ended: str, looked: bool = True) -> Fault:
    usual = site.undisturbed[command]
    seen = whole(site.contents(warehouse), usual.before, usual.wanted) if looked else None
    equal = site.run_again(command, warehouse) and whole(site.contents(warehouse), usual.wanted)
    shutil.rmtree(warehouse)
    return Fault(case=case, command=command, detail=detail, ended=ended, readers=seen, equal=equal)


def _used(disk: Path) -> int:
    return shutil.disk_usage(disk).used


@contextmanager
def _file_system(folder: Path) -> Iterator[Path]:
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1g", "tmpfs", str(folder)], check=True)
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)
        folder.rmdir()
