"""Reading ahead in a background thread."""

from collections.abc import Generator
from contextlib import closing
from queue import Empty, Queue
from threading import Event, Thread
from typing import TypeVar

T = TypeVar("T")


class _End:
    def __init__(self, error: BaseException | None) -> None:
        self.error = error


def prefetch(items: Generator[T], depth: int) -> Generator[T]:
    """Yield the items of a generator that runs in a thread of its own, at most ``depth`` of them ahead.

    An error in the generator is raised here. When the consumer stops early, the generator is closed and the thread
    has ended before this returns.
    """
    queue: Queue[T | _End] = Queue(depth)
    stopped = Event()

    def produce() -> None:
        end = _End(None)
        try:
            with closing(items):
                for item in items:
                    if stopped.is_set():
                        return
                    queue.put(item)
        except BaseException as error:  # handed over, whatever it is: the thread has nobody else to tell
            end = _End(error)
        if not stopped.is_set():
            queue.put(end)

    thread = Thread(target=produce, name="prefetch", daemon=True)
    thread.start()
    try:
        while not isinstance(item := queue.get(), _End):
            yield item
        if item.error is not None:
            raise item.error
    finally:
        stopped.set()
        _drain(queue)
        thread.join()


def _drain(queue: Queue[T]) -> None:
    """Make room, so that a producer that waits for it can see that it is to stop."""
    try:
        while True:
            queue.get_nowait()
    except Empty:
        return
