"""What a run is computed by, for its log."""

import hashlib
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from jobs.target import code_fingerprint
from lattice_model.training.log import Software

_ROOT = Path(__file__).parents[1]


def software() -> Software:
    """The code as it is, and the lock that the environment is made from, where both lie together as in a clone."""
    lock = _ROOT / ("cpu.lock" if _installed("fbgemm-gpu-cpu") else "cuda.lock")
    return Software(
        code=code_fingerprint("schemas", "lattice_model"),
        lock=hashlib.sha256(lock.read_bytes()).hexdigest() if lock.is_file() else None,
    )


def _installed(distribution: str) -> bool:
    try:
        return bool(version(distribution))
    except PackageNotFoundError:
        return False
