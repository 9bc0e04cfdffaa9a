"""The warehouse folder: one writer at a time, and a clear message where it cannot be written."""

import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from pipelines.warehouse import locked, read_text, write_text
from schemas.errors import LatticeError

HOLDER = """
    import sys
    from pipelines.warehouse import locked
    with locked(sys.argv[1], "space"):
        print("held", flush=True)
        sys.stdin.read()
"""


def test_a_second_run_is_told_who_holds_it_and_a_killed_run_holds_nothing(tmp_path: Path) -> None:
    command = [sys.executable, "-c", textwrap.dedent(HOLDER), str(tmp_path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(LatticeError, match=f"process {holder.pid}"), locked(str(tmp_path), "space"):
            pass
        with locked(str(tmp_path), "other"):
            pass
        os.kill(holder.pid, signal.SIGKILL)
        holder.wait()
    with locked(str(tmp_path), "space"):
        pass


def test_a_warehouse_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(LatticeError, match="--warehouse"), locked(str(tmp_path / "file"), "space"):
        pass


def test_small_files_are_written_whole(tmp_path: Path) -> None:
    uri = str(tmp_path / "a" / "b.json")
    write_text(uri, "first")
    write_text(uri, "second")
    assert read_text(uri) == "second"
    assert [path.name for path in (tmp_path / "a").iterdir()] == ["b.json"]
    with pytest.raises(LatticeError, match="no such file"):
        read_text(str(tmp_path / "missing.json"))


def test_a_small_file_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(LatticeError, match="cannot be written") as error:
        write_text(str(tmp_path / "file" / "b.json"), "text")
    assert error.value.place.endswith("file/b.json")
