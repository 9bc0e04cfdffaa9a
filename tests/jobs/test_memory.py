"""The peak of a run's memory counts what it took for a while, in itself and in what it started."""

import json
import subprocess
import sys
import time

from jobs.memory import PeakMemory

_MIB = 2**20
_WATCH = """
import json, subprocess, sys, time
from jobs.memory import PeakMemory

hold = "held = b'1' * (200 * 2**20); print('held', flush=True); input()"
with PeakMemory() as before:
    time.sleep(0.1)
with PeakMemory() as during:
    child = subprocess.Popen([sys.executable, "-c", hold], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    child.stdout.readline()
    deadline = time.monotonic() + 30
    while during.peak - before.peak <= 190 * 2**20 and time.monotonic() < deadline:
        time.sleep(0.1)
    child.communicate(b"let go")
print(json.dumps([before.peak, during.peak]))
"""


def test_the_peak_counts_child_processes_and_what_was_given_back() -> None:
    # In a process of its own: beside a Spark session, what its JVM takes and gives back is more than the child holds.
    run = subprocess.run([sys.executable, "-c", _WATCH], capture_output=True, text=True, timeout=120, check=True)
    before, during = json.loads(run.stdout)
    assert 190 * _MIB < during - before < 300 * _MIB


def test_a_time_too_short_for_a_look_takes_what_was_seen_before() -> None:
    with PeakMemory() as memory:
        while not memory.peak:
            time.sleep(0.01)
        now = time.time()
        assert memory.between(now, now) > 0
