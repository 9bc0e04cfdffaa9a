"""Objectives: what feedback is tied to, the windows that its delays propose, and when it was recorded."""

from datetime import timedelta
from pathlib import Path

import numpy as np

from pipelines.guessing.delays import ENOUGH, proposed
from pipelines.guessing.draft import File, Objective
from pipelines.guessing.entries import epoch, feedback_file, listed, relative
from pipelines.guessing.labels import Label
from pipelines.guessing.names import plain, singular
from pipelines.guessing.roles import Answer
from schemas.duration import format_duration

_SECOND = timedelta(seconds=1)
_IMMEDIATE = timedelta(hours=1)
"""Answers that name their impression and nearly all come within it are known at once."""


def objective(answer: Answer, domains: tuple[str, ...], longest: timedelta, folder: Path, zone: str) -> Objective:
    """Of a table of feedback; no window is longer than ``longest``."""
    by_key = answer.key is not None
    immediate = by_key and _soon(answer)
    windows = () if immediate else proposed(answer.delays, longest)
    first, last = answer.table.time.range
    start = first.replace(microsecond=0)
    observed = (start, last.replace(microsecond=0) + _SECOND)
    notes = [
        f"guessed: {answer.table.name} are feedback, because {answer.why}.",
        "question: is this a goal to predict?",
    ]
    if by_key and not immediate:
        notes.append("guessed: match impression, because the feedback names the impression that it answers.")
    elif not by_key:
        notes.append("guessed: feedback answers the impressions of the same user and item; its rows name none.")
    return Objective(
        name=plain(singular(answer.table.name)),
        domains=answer.answered or domains,
        by_key=by_key,
        windows=tuple(map(format_duration, windows)),
        observed=observed,
        file=feedback_file(answer, folder),
        notes=tuple(notes),
        windows_notes=("guessed: no windows, because the answers come at once.",) if immediate else _why(answer),
        observed_notes=_recorded(answer, zone),
    )


def from_label(label: Label, domain: str, folder: Path) -> Objective:
    """Of a column of the impressions, once the user has written it as a table of feedback."""
    log = label.log
    first, last = log.time.range
    name = listed([label.column.name])
    condition = "is 1" if label.column.zero_one else f"is {label.least:g} or more"
    mapping = {"user_id": log.user.name, "item_id": log.item.name, "feedback_time": log.time.name}
    notes = [
        f"question: {name} stands in the impressions' own rows; is it the answer? Feedback is read from a table "
        f"of its own, with the rows whose {name} {condition}; this command writes it:",
        label.command(relative(log.sample.path, folder)),
    ]
    if not label.column.zero_one:
        notes.insert(0, f"question: {label.least:g} of at most {_greatest(label):g} is a guess; which are good?")
    columns = {**mapping, "source_key": label.key}
    return Objective(
        name=label.name,
        domains=(domain,),
        by_key=True,
        windows=(),
        observed=(first.replace(microsecond=0), last.replace(microsecond=0) + _SECOND),
        file=File(
            path=label.feedback_path,
            format=label.ending,
            columns={ours: theirs for ours, theirs in columns.items() if ours != theirs},
            epoch=epoch(log.time),
        ),
        notes=tuple(notes),
        windows_notes=("guessed: no windows, because the answer stands in the impression's row.",),
        observed_notes=("guessed: the first and last impression.",),
    )


def _greatest(label: Label) -> float:
    return float(max(label.column.values.drop_null().to_pylist()))


def _soon(answer: Answer) -> bool:
    found = answer.delays
    return not len(found) or bool(np.quantile(found, 0.99) <= _IMMEDIATE / timedelta(microseconds=1))


def _why(answer: Answer) -> tuple[str, ...]:
    positive = answer.delays[answer.delays > 0]
    notes = []
    if len(positive) < ENOUGH:
        notes.append(
            f"question: how long after an impression may it still be its effect? Only {len(positive)} pairs of an "
            "impression and later feedback of the same user and item were seen, too few to guess from."
        )
    else:
        half, most, nearly = (_said(np.quantile(positive, share)) for share in (0.5, 0.8, 0.95))
        notes.append(
            f"guessed: of {len(positive):,} answers half came within {half} of the last impression of the same user "
            f"and item, 80 % within {most}, 95 % within {nearly}. The longest window is the one that serves."
        )
    same = float(np.mean(answer.delays == 0)) if len(answer.delays) else 0.0
    if same > 0.1:
        notes.append(
            f"warning: {same:.0%} of the answers have the very time of their impression; only later ones count in a "
            "window. Write times to the second, or a key of the impression."
        )
    return tuple(notes)


def _said(microseconds: float) -> str:
    seconds = microseconds / 10**6
    for size, unit in ((86_400, "days"), (3_600, "hours"), (60, "minutes")):
        if seconds >= size:
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds:.1f} seconds"


def _recorded(answer: Answer, zone: str) -> tuple[str, ...]:
    log = answer.table
    notes = [f"guessed: its first and last {listed([log.time.name])}. question: was it recorded for longer?"]
    if log.time.local and zone == "UTC":
        notes.append(f"question: {listed([log.time.name])} has no zone and was taken as UTC, see time_zone.")
    if not log.sample.whole:
        notes.append(f"question: that is of {log.sample.extent}; is it of the whole table?")
    return tuple(notes)
