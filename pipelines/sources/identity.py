"""What tells one state of the raw files from another, without reading them: name, size and time of change."""

from collections.abc import Iterator
from dataclasses import dataclass
from glob import has_magic
from pathlib import Path
from urllib.parse import urlparse

from pyarrow.fs import FileInfo, FileSelector, FileSystem, FileType

from pipelines.warehouse import file_system


@dataclass(frozen=True, order=True)
class RawFile:
    """A file as its file system lists it: size in bytes, time of change in nanoseconds."""

    path: str
    size: int | None
    changed: int | None


def raw_files(paths: list[str]) -> list[RawFile]:
    """The files that lie at or under the paths (globs allowed where they are local), in a stable order."""
    return sorted(file for path in set(paths) for file in _under(path))


def files_identity(files: list[RawFile]) -> str:
    """One line a file."""
    return "\n".join(f"{file.path} {file.size} {file.changed}" for file in files)


def _under(path: str) -> Iterator[RawFile]:
    if len(urlparse(path).scheme) > 1:
        system, inner = file_system(path)
        for info in _remote(system, inner):
            yield RawFile(info.path, info.size, info.mtime_ns)
        return
    for found in _matching(Path(path)):
        for file in _files(found):
            status = file.stat()
            yield RawFile(str(file), status.st_size, status.st_mtime_ns)


def _matching(path: Path) -> list[Path]:
    pattern = path.relative_to(path.anchor).as_posix()
    return list(Path(path.anchor).glob(pattern)) if has_magic(pattern) else [path]


def _files(path: Path) -> list[Path]:
    return [file for file in path.rglob("*") if file.is_file()] if path.is_dir() else [path] * path.exists()


def _remote(system: FileSystem, path: str) -> list[FileInfo]:
    info = system.get_file_info(path)
    if info.type != FileType.Directory:
        return [info]
    inside = system.get_file_info(FileSelector(path, recursive=True))
    return [entry for entry in inside if entry.type == FileType.File]
