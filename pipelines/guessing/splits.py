"""Validation and test days: the last ones whose labels are complete, with the longest window between them."""

from dataclasses import dataclass
from datetime import date, timedelta
from math import ceil

_DAY = timedelta(days=1)
_SHARE = 8
"""Of so many usable days one is for validation and one for the test."""
_MOST = 28


@dataclass(frozen=True, kw_only=True)
class GuessedSplits:
    """Two ranges of whole days, both ends included; ``doubt`` says what is wrong with them, if anything."""

    validation: tuple[date, date]
    test: tuple[date, date]
    doubt: str = ""


def guess_splits(first: date, last: date, longest: timedelta) -> GuessedSplits:
    """Of the days from the first with impressions to the last whose labels are complete in the longest window."""
    days = (last - first) // _DAY + 1
    length = min(_MOST, max(1, days // _SHARE))
    for gap, doubt in (
        (ceil(longest / _DAY), ""),
        (0, "there are too few days to leave the longest window between validation and test"),
    ):
        test = (last - (length - 1) * _DAY, last)
        end = test[0] - (gap + 1) * _DAY
        validation = (end - (length - 1) * _DAY, end)
        # As many days as are judged remain at least to train on, besides those whose labels are not complete by then.
        if validation[0] - first >= (length + gap) * _DAY:
            return GuessedSplits(validation=validation, test=test, doubt=doubt)
    yesterday = last - _DAY
    return GuessedSplits(
        validation=(yesterday, yesterday),
        test=(last, last),
        doubt="the data is too short: hardly a day remains to train on. Give more days, or shorten the windows",
    )
