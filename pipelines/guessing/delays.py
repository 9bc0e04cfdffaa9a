"""How long feedback takes to come, and the attribution windows that would catch most of it."""

from datetime import timedelta

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

Numbers = npt.NDArray[np.int64]

DURATIONS = tuple(
    timedelta(**{unit: number})
    for unit, numbers in (
        ("minutes", (1, 2, 5, 10, 15, 30)),
        ("hours", (1, 2, 3, 6, 12)),
        ("days", (1, 2, 3, 7, 14, 28, 60, 90)),
    )
    for number in numbers
)
SHARES = (0.5, 0.8, 0.95)
"""Of the feedback that follows an impression: a window is proposed for each."""
ENOUGH = 20
"""Fewer delays say nothing."""
UNKNOWN = (timedelta(days=1), timedelta(days=7))
"""What is proposed then."""


def pair_ids(*tables: tuple[pa.Array, pa.Array]) -> list[Numbers]:
    """A number for each row of each table of (user, item): equal pairs have equal numbers, incomplete ones -1."""
    texts = [pc.binary_join_element_wise(user, item, "\0") for user, item in tables]
    codes = pa.concat_arrays(texts).dictionary_encode().indices.fill_null(-1).to_numpy().astype(np.int64)
    return np.split(codes, np.cumsum([len(text) for text in texts])[:-1])


def delays(shown: tuple[Numbers, Numbers], answered: tuple[Numbers, Numbers]) -> Numbers:
    """Of each feedback the microseconds since the last impression of its pair before it, or at the same time.

    Args:
        shown, answered: pair ids and times in microseconds of impressions and of feedback.

    Feedback that no impression precedes is left out.
    """
    pairs, times = (np.concatenate(parts) for parts in zip(shown, answered, strict=True))
    is_answer = np.repeat([False, True], [len(shown[0]), len(answered[0])])
    order = np.lexsort((is_answer, times, pairs))
    pairs, times, is_answer = pairs[order], times[order], is_answer[order]
    last = np.maximum.accumulate(np.where(is_answer, -1, np.arange(len(pairs))))
    found = is_answer & (last >= 0) & (pairs == pairs[last]) & (pairs >= 0)
    return np.asarray(times[found] - times[last[found]], dtype=np.int64)


def proposed(found: Numbers, longest: timedelta) -> tuple[timedelta, ...]:
    """Windows for the shares of positive delays, each rounded up to a usual duration; none beyond ``longest``."""
    allowed = [duration for duration in DURATIONS if duration <= longest] or [DURATIONS[0]]
    positive = found[found > 0]
    wanted = [timedelta(microseconds=int(np.quantile(positive, share))) for share in SHARES if len(positive) >= ENOUGH]
    return tuple(sorted({next((d for d in allowed if d >= delay), allowed[-1]) for delay in wanted or UNKNOWN}))
