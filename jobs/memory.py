"""How much memory a run takes, with the processes that it starts (Spark's JVM, its Python workers)."""

import threading
import time
from types import TracebackType

import psutil

_SECONDS_BETWEEN_LOOKS = 1.0
_SHARE_OF_TIME = 0.02
"""Spent on looking: the system counts a large process page by page."""


class PeakMemory:
    """Watches this process and its descendants while the block lasts.

    Shared pages count once: what is summed is the proportional set size.
    """

    def __init__(self) -> None:
        self._looks: list[tuple[float, int]] = []
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> "PeakMemory":
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        self._thread.join()

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

    def _watch(self) -> None:
        this = psutil.Process()
        while True:
            processes = [this, *this.children(recursive=True)]
            started = time.monotonic()
            self._looks.append((time.time(), sum(_taken(process) for process in processes)))
            took = time.monotonic() - started
            if self._ended.wait(max(_SECONDS_BETWEEN_LOOKS, took / _SHARE_OF_TIME)):
                return


def _taken(process: psutil.Process) -> int:
    try:
        return int(process.memory_full_info().pss)
    except (psutil.NoSuchProcess, psutil.AccessDenied):
        return 0
