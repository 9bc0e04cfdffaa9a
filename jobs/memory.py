"""How much memory a run takes, with the processes that it starts (Spark's JVM, its Python workers)."""

import time

import psutil

from jobs.watching import Watch

_SECONDS_BETWEEN_LOOKS = 1.0
_SHARE_OF_TIME = 0.02
"""Spent on looking: the system counts a large process page by page."""


class PeakMemory(Watch):
    """Watches this process and its descendants while the block lasts.

    Shared pages count once: what is summed is the proportional set size.
    """

    def __init__(self) -> None:
        super().__init__()
        self._this = psutil.Process()
        self._looks: list[tuple[float, int]] = []

    @property
    def peak(self) -> int:
        """The most that was seen, in bytes."""
        return self.between(0.0, float("inf"))

    def between(self, started: float, ended: float) -> int:
        """The most that was seen from one time to another (seconds since the epoch), in bytes.

        The last look before counts too: of a short time there may be no other.
        """
        looks = self._looks[:]
        before = [taken for moment, taken in looks if moment < started][-1:]
        return max([*before, *(taken for moment, taken in looks if started <= moment < ended)], default=0)

    def look(self) -> float:
        started = time.monotonic()
        processes = [self._this, *self._this.children(recursive=True)]
        self._looks.append((time.time(), sum(_taken(process) for process in processes)))
        return max(_SECONDS_BETWEEN_LOOKS, (time.monotonic() - started) / _SHARE_OF_TIME)


def _taken(process: psutil.Process) -> int:
    try:
        return int(process.memory_full_info().pss)
    except (psutil.NoSuchProcess, psutil.AccessDenied):
        return 0
