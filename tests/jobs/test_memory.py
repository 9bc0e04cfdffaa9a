"""The peak of a run's memory counts what it took for a while, in itself and in what it started."""

import subprocess
import sys
import time

from jobs.memory import PeakMemory

_MIB = 2**20
_HOLD = "import time; held = b'1' * (200 * 2**20); print('held', flush=True); time.sleep(60)"


def test_the_peak_counts_child_processes_and_what_was_given_back() -> None:
    with PeakMemory() as before:
        time.sleep(0.1)
    with PeakMemory() as during:
        child = subprocess.Popen([sys.executable, "-c", _HOLD], stdout=subprocess.PIPE)
        assert child.stdout is not None and child.stdout.readline()
        # The larger the process, the rarer the looks.
        deadline = time.monotonic() + 30
        while during.peak - before.peak <= 190 * _MIB and time.monotonic() < deadline:
            time.sleep(0.1)
        child.kill()
        child.wait()
        child.stdout.close()
    assert during.peak - before.peak > 190 * _MIB


def test_a_time_too_short_for_a_look_takes_what_was_seen_before() -> None:
    with PeakMemory() as memory:
        while not memory.peak:
            time.sleep(0.01)
        now = time.time()
        assert memory.between(now, now) > 0
