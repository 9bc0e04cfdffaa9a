"""Event sequences against their definition, computed row by row in Python."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from pipelines.sequences import Happened, Shape, latest, sequences
from pipelines.timelines import Longs
from tests.pipelines import timelines as tl

HOUR, DAY = 3_600_000_000, 24
LENGTH = 4
SHAPE = Shape("s", LENGTH, ("item",), ("quantity",), True)
USERS, ITEMS = {"u": 5, "v": -3}, {"a": 70, "b": -70}


def longs(values: list[int]) -> Longs:
    return np.array(values, np.int64)


def happened(events: tl.Events) -> Happened:
    return Happened(
        longs([USERS[e[0]] for e in events]),
        longs([(e[2] + e[3]) * HOUR for e in events]),
        longs([e[2] * HOUR for e in events]),
        longs([ITEMS[e[1]] for e in events]).reshape(-1, 1),
        np.array([e[4] for e in events], np.float32).reshape(-1, 1),
    )


def together(first: Happened, second: Happened) -> Happened:
    parts = zip(vars(first).values(), vars(second).values(), strict=True)
    return Happened(*(np.concatenate(pair) for pair in parts))


@given(st.lists(tl.rows, max_size=60), st.lists(tl.event_rows, max_size=80), st.integers(1, 72), st.randoms())
def test_holds_the_last_events_that_had_arrived(
    shown: tl.Impressions, events: tl.Events, cut: int, random: np.random.Generator
) -> None:
    random.shuffle(events)
    early = happened([e for e in events if e[2] + e[3] < cut])
    later = happened([e for e in events if e[2] + e[3] >= cut])
    for known, inside in (
        (early, [i for i in shown if i[2] < cut]),
        (together(latest(SHAPE, early), later), [i for i in shown if i[2] >= cut]),
    ):
        pairs = sorted({(user, hour) for user, _, hour in inside})
        users, times = longs([USERS[user] for user, _ in pairs]), longs([hour * HOUR for _, hour in pairs])
        found = sequences(SHAPE, known, users, times)
        ends = np.cumsum(found.counts)
        for (user, hour), start, end in zip(pairs, ends - found.counts, ends, strict=True):
            # The order of the definition: by arrival, then by the event's own values (time, id, number).
            seen = sorted(
                (time + late, time, ITEMS[item], quantity)
                for who, item, time, late, quantity in events
                if who == user and time + late < hour
            )
            newest = sorted([event[1:] for event in seen[-LENGTH:]], reverse=True)
            assert found.ids[start:end, 0].tolist() == [item for _, item, _ in newest]
            assert found.dense[start:end, 0].tolist() == [quantity for _, _, quantity in newest]
            assert [round(age * DAY) for age in found.ages[start:end].tolist()] == [hour - t for t, _, _ in newest]
