"""The warehouse folder: whether it can be written, and one build at a time in each space."""

import errno
import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import unquote, urlparse

import pyarrow as pa
from pyarrow.fs import FileSelector, FileSystem, FileType, LocalFileSystem

from pipelines.tables import is_local, join_uri
from schemas.errors import LatticeError


def local_path(uri: str) -> Path:
    """The path of a folder or a ``file:`` URI."""
    return Path(unquote(urlparse(uri).path) if uri.startswith("file:") else uri)


def write_text(uri: str, text: str) -> None:
    """Write a small file whole: under another name first, then renamed."""
    system, path = _file_system(uri)
    system.create_dir(path.rsplit("/", 1)[0], recursive=True)
    with system.open_output_stream(f"{path}.part") as stream:
        stream.write(text.encode())
    system.move(f"{path}.part", path)


def read_text(uri: str) -> str:
    """The text of a small file.

    Raises:
        LatticeError: it is not there.
    """
    system, path = _file_system(uri)
    try:
        with system.open_input_stream(path) as stream:
            return str(stream.read().decode())
    except FileNotFoundError as error:
        raise LatticeError(uri, "There is no such file.", "Run `lattice build` to make it.") from error


def write_arrow(uri: str, table: pa.Table) -> None:
    """Write a table that fits in memory whole, as ``write_text`` does a text."""
    system, path = _file_system(uri)
    system.create_dir(path.rsplit("/", 1)[0], recursive=True)
    with system.open_output_stream(f"{path}.part") as stream, pa.ipc.new_file(stream, table.schema) as writer:
        writer.write_table(table)
    system.move(f"{path}.part", path)


def read_arrow(uri: str) -> pa.Table:
    """A table that ``write_arrow`` wrote."""
    system, path = _file_system(uri)
    with system.open_input_file(path) as stream:
        return pa.ipc.open_file(stream).read_all()


def list_files(uri: str) -> list[str]:
    """The URIs of the files in a folder; none if there is no such folder."""
    system, path = _file_system(uri)
    found = system.get_file_info(FileSelector(path, allow_not_found=True))
    return sorted(join_uri(uri, info.base_name) for info in found if info.type == FileType.File)


def file_exists(uri: str) -> bool:
    """Whether there is a file."""
    system, path = _file_system(uri)
    return bool(system.get_file_info(path).is_file)


def remove(uri: str) -> None:
    """Delete a file."""
    system, path = _file_system(uri)
    system.delete_file(path)


def remove_folder(uri: str) -> None:
    """Delete a folder and what is in it, if it is there."""
    system, path = _file_system(uri)
    if system.get_file_info(path).type == FileType.Directory:
        system.delete_dir(path)


def _file_system(uri: str) -> tuple[FileSystem, str]:
    if is_local(uri):
        return LocalFileSystem(), str(local_path(uri).resolve())
    system, path = FileSystem.from_uri(uri)
    return system, str(path)


@contextmanager
def locked(warehouse: str, space: str) -> Iterator[None]:
    """Hold the space's part of the warehouse while it is written.

    The lock is the operating system's and ends with the process, however that ends. A warehouse on an object store is
    not locked; Delta's own commit protocol then refuses the second writer.

    Raises:
        LatticeError: the folder cannot be written, or another run holds it.
    """
    if not is_local(warehouse):
        yield
        return
    folder = local_path(join_uri(warehouse, space))
    lock = folder / ".lock"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(lock, os.O_RDWR | os.O_CREAT, 0o644)
    except OSError as error:
        raise LatticeError(
            f"warehouse '{warehouse}'",
            f"The folder {folder} cannot be written: {error.strerror}.",
            "Give a folder that you may write with --warehouse, or free some disk.",
        ) from error
    try:
        _take(descriptor, folder)
        yield
    finally:
        os.close(descriptor)


def _take(descriptor: int, folder: Path) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno not in (errno.EACCES, errno.EAGAIN):
            raise
        holder = os.read(descriptor, 32).decode() or "unknown"
        raise LatticeError(
            f"warehouse '{folder}'",
            f"Another run (process {holder}) is writing it.",
            "Wait until it has finished, or give another folder with --warehouse.",
        ) from error
    os.ftruncate(descriptor, 0)
    os.write(descriptor, str(os.getpid()).encode())
