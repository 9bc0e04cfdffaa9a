"""What tells one state of the raw files from another, without reading them: name, size and time of change."""

from glob import has_magic
from pathlib import Path
from urllib.parse import urlparse

from pyarrow.fs import FileInfo, FileSelector, FileSystem, FileType


def files_identity(paths: list[str]) -> str:
    """One line a file that lies at or under the paths (globs allowed where they are local), in a stable order."""
    lines = []
    for path in sorted(set(paths)):
        if len(urlparse(path).scheme) > 1:
            system, inner = FileSystem.from_uri(path)
            lines += [_line(info) for info in _remote(system, inner)]
        else:
            lines += [_local(file) for found in _matching(Path(path)) for file in _files(found)]
    return "\n".join(sorted(lines))


def _matching(path: Path) -> list[Path]:
    pattern = path.relative_to(path.anchor).as_posix()
    return list(Path(path.anchor).glob(pattern)) if has_magic(pattern) else [path]


def _files(path: Path) -> list[Path]:
    return [file for file in path.rglob("*") if file.is_file()] if path.is_dir() else [path] * path.exists()


def _local(file: Path) -> str:
    status = file.stat()
    return f"{file} {status.st_size} {status.st_mtime_ns}"


def _remote(system: FileSystem, path: str) -> list[FileInfo]:
    info = system.get_file_info(path)
    if info.type != FileType.Directory:
        return [info]
    inside = system.get_file_info(FileSelector(path, recursive=True))
    return [entry for entry in inside if entry.type == FileType.File]


def _line(info: FileInfo) -> str:
    return f"{info.path} {info.size} {info.mtime_ns}"
