"""Memory that a step frees is there for the next one, without asking the system."""

import platform
import subprocess
import sys

import pytest

_STEPS = """
import resource
import torch
from lattice_model.allocation import keep_freed_memory

def step():
    parts = [torch.ones(2**20) for _ in range(6)]  # 4 MiB each
    return sum(parts)

assert keep_freed_memory()
for _ in range(3):
    step()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(20):
    step()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="Only glibc's allocator is told to keep memory")
def test_pages_that_were_freed_are_not_asked_of_the_system_again() -> None:
    run = subprocess.run([sys.executable, "-c", _STEPS], capture_output=True, text=True, timeout=120, check=True)
    assert int(run.stdout) < 10_000  # otherwise those of every step: more than 60,000
