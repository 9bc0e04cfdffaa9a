"""A look again and again at something, from a thread beside the work."""

import threading
from abc import ABC, abstractmethod
from types import TracebackType
from typing import Self


class Watch(ABC):
    """Looks while the block lasts, at once and then after each pause that the last look asked for."""

    def __init__(self) -> None:
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        self._thread.join()

    @abstractmethod
    def look(self) -> float:
        """Look once; the seconds until the next look."""

    def _watch(self) -> None:
        while not self._ended.wait(self.look()):
            pass
