"""What a machine must have before anything is downloaded; `make setup` runs it first: ``python -m jobs.preflight``.

Standard library alone, and syntax as old as Python 3.6: the interpreter that it runs under may be the wrong one, and
must be told so rather than fail on a newer syntax.
"""

import os
import platform
import re
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import List, NamedTuple, Tuple

PYTHONS = ((3, 11), (3, 12))
JAVAS = (17, 21)  # what Spark 4.0 runs on
GLIBC = (2, 28)  # what fbgemm's wheels are built for
SETUP_GB = 12  # the environment and its downloads take 8.5, the rest is for RUN_GB
RUN_GB = 4  # the demo's tables and Spark's scratch files
MEMORY_GB = 10  # the demo's bound
ROOT = Path(__file__).resolve().parent.parent


class Check(NamedTuple):
    """What one requirement found; ``remedy`` says what to do where it did not pass."""

    name: str
    found: str
    needed: str
    passed: bool
    remedy: str
    required: bool = True


def machine_checks() -> List[Check]:
    """Every check of the machine, in the order in which they are shown."""
    return [check_platform(), check_python(), check_java(), check_disk(), check_memory()]


def check_platform() -> Check:
    library, release = platform.libc_ver()
    fits = platform.system() == "Linux" and platform.machine() in ("x86_64", "aarch64")
    return Check(
        name="platform",
        found=" ".join(part for part in (platform.system(), platform.machine(), library, release) if part),
        needed="Linux on x86_64 or aarch64 with glibc {}.{} or newer".format(*GLIBC),
        passed=fits and library == "glibc" and _numbers(release) >= GLIBC,
        remedy="Use such a machine, or the container image in docker/.",
    )


def check_python() -> Check:
    """The interpreter that runs this."""
    has_venv = find_spec("venv") is not None and find_spec("ensurepip") is not None
    return Check(
        name="python",
        found="{}.{}.{} at {}{}".format(*sys.version_info[:3], sys.executable, "" if has_venv else ", without venv"),
        needed="3.11 or 3.12, with venv",
        passed=sys.version_info[:2] in PYTHONS and has_venv,
        remedy="Install it (Debian, Ubuntu: apt-get install python3.11 python3.11-venv; elsewhere: python.org) "
        "or name one: make PYTHON=/path/to/python3.11 ...",
    )


def check_java() -> Check:
    """The Java that Spark would start: JAVA_HOME's, else the first on PATH."""
    home = os.environ.get("JAVA_HOME")
    java = str(Path(home) / "bin" / "java") if home else shutil.which("java") or ""
    version, place = _java_version(java), java + (" (JAVA_HOME)" if home else "")
    return Check(
        name="java",
        found="{} at {}".format(version or "none", place) if java else "none on PATH",
        needed="17 or 21",
        passed=_java_major(version) in JAVAS,
        remedy="Install Java 17 (Debian, Ubuntu: apt-get install openjdk-17-jre-headless) "
        "or set JAVA_HOME to the folder of one.",
    )


def check_disk() -> Check:
    """Where there is least room: the project's folder, or the cache into which the environment is downloaded."""
    cache = Path(os.environ.get("UV_CACHE_DIR") or os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    free, folder = min((_free(folder), folder) for folder in (ROOT, cache.absolute()))
    needed = RUN_GB if (ROOT / ".venv" / "bin" / "lattice").exists() else SETUP_GB
    return Check(
        name="disk",
        found="{:.1f} GB free for {}".format(free / 1e9, folder),
        needed="{} GB".format(needed),
        passed=free >= needed * 1e9,
        remedy="Free some space there" + ("." if folder == ROOT else ", or set UV_CACHE_DIR to a folder with room."),
    )


def check_memory() -> Check:
    """The machine's memory, or the container's share of it."""
    total = min([os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"), *_container_limits()])
    return Check(
        name="memory",
        found="{:.1f} GB".format(total / 1e9),
        needed="{} GB".format(MEMORY_GB),
        passed=total >= MEMORY_GB * 1e9,
        remedy="Use a machine with more memory, or give the container more.",
    )


def message(check: Check) -> str:
    """What a failed check tells the user."""
    return "{}: found {}; needed: {}.\n  {}".format(check.name, check.found, check.needed, check.remedy)


def _java_version(java: str) -> str:
    try:
        result = subprocess.run(
            [java, "-version"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, universal_newlines=True
        )
    except OSError:
        return ""
    match = re.search(r'version "([^"]+)"', result.stdout)
    return match.group(1) if match and result.returncode == 0 else ""


def _java_major(version: str) -> int:
    numbers = (*_numbers(version), 0, 0)
    return numbers[1] if numbers[0] == 1 else numbers[0]  # Java 8 calls itself 1.8


def _numbers(version: str) -> Tuple[int, ...]:
    return tuple(int(number) for number in re.findall(r"\d+", version))


def _free(folder: Path) -> int:
    existing = next(place for place in (folder, *folder.parents) if place.exists())
    return shutil.disk_usage(str(existing)).free


def _container_limits() -> List[int]:
    files = [Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory/memory.limit_in_bytes")]
    texts = [file.read_text().strip() for file in files if file.exists()]
    return [int(text) for text in texts if text.isdigit()]


def main() -> int:
    failed = [check for check in machine_checks() if not check.passed]
    for check in failed:
        print(message(check), file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
