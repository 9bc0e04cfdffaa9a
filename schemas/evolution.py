"""What of a space file may change while its tables grow, and what may not (DESIGN, Contracts).

Rows that are published stay as they are. A feature that they lack is read as zero, null or empty, an objective as null;
so anything may be added or removed, and ids, sequences, horizons and domains may be widened. What would make one column
mean two things, or a published row wrong, is refused.
"""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, TypeVar

from schemas.duration import format_duration
from schemas.errors import LatticeError
from schemas.space import ModelSpace

T = TypeVar("T")


@dataclass(frozen=True)
class Clash:
    """A change that published rows do not allow: which key, and why."""

    key: str
    problem: str


def check_evolution(
    old: ModelSpace, new: ModelSpace, group: str, through: datetime, anew: Collection[str] = ()
) -> None:
    """Whether rows made under ``new`` may be added to those of a group that were made under ``old``.

    Args:
        through: the published rows hold what was available before this instant.
        anew: declared features that are computed anew in those rows, and so may have changed in any way.

    Raises:
        LatticeError: they may not; names the first key that stands in the way.
    """
    for clash in clashes(old, new, group, through):
        section, _, feature = (*clash.key.split("."), "", "")[:3]
        if section == "features" and feature in anew:
            continue
        raise LatticeError(
            clash.key,
            f"{clash.problem}; the tables are published up to {through:%Y-%m-%d %H:%M} UTC.",
            "Take the change back, give what is new a name of its own, or build anew with `lattice build`.",
        )


def clashes(old: ModelSpace, new: ModelSpace, group: str, through: datetime) -> Iterator[Clash]:
    """Every change that stands in the way."""
    yield from _same("", old, new, "time_zone", "privacy")
    yield from _same("source", old.source, new.source, "kind")
    for name, domain in _both(old.domains, new.domains):
        yield from _types(f"domains.{name}", domain[0].columns, domain[1].columns)
    for name, events in _both(old.events, new.events):
        yield from _types(f"events.{name}", events[0].columns, events[1].columns)
    for name, facts in _both(old.attributes, new.attributes):
        yield from _same(f"attributes.{name}", *facts, "key")
        yield from _types(f"attributes.{name}", facts[0].columns, facts[1].columns)
    yield from _features(old, new)
    yield from _objectives(old, new, through)
    yield from _group(old, new, group, through)


def _features(old: ModelSpace, new: ModelSpace) -> Iterator[Clash]:
    origins = {
        "categorical": ("column", "attribute", "calendar", "id_space"),
        "dense": ("column", "attribute"),
        "history": ("events", "keys"),
        "ratio": ("numerator", "denominator"),
        "sequence": ("events",),
    }
    for kind, keys in origins.items():
        before, after = getattr(old.features, kind), getattr(new.features, kind)
        for name, pair in _both(before, after):
            yield from _same(f"features.{kind}.{name}", *pair, *keys)
    for name, (one, other) in _both(old.features.sequence, new.features.sequence):
        for field, pair in _both(one.ids, other.ids):
            yield from _same(f"features.sequence.{name}.ids.{field}", *pair, "column", "id_space")


def _objectives(old: ModelSpace, new: ModelSpace, through: datetime) -> Iterator[Clash]:
    for name, objective in new.objectives.items():
        place, before = f"objectives.{name}", old.objectives.get(name)
        if before is None:
            if objective.observed.start < through:
                yield Clash(f"{place}.observed.from", "Feedback of a new objective is not read from before")
            continue
        yield from _same(place, before, objective, "windows", "match", "attribution", "value")
        if before.observed.start != objective.observed.start:
            yield Clash(f"{place}.observed.from", "Labels that are published depend on it")
        ends = before.observed.end, objective.observed.end
        if ends[0] != ends[1] and min(ends) < through:
            yield Clash(f"{place}.observed.to", "Labels that are published depend on the earlier end")
        known = [domain for domain in objective.domains if domain not in before.domains and domain in old.domains]
        if known:
            yield Clash(f"{place}.domains", f"Impressions of {known[0]} are published without this label")


def _group(old: ModelSpace, new: ModelSpace, group: str, through: datetime) -> Iterator[Clash]:
    place = f"groups.{group}"
    if group not in old.groups:
        return
    before, after = old.groups[group], new.groups[group]
    yield from _same(place, before, after, "windows")

    def in_force(space: ModelSpace) -> list[Any]:
        # The Zipper's dates are midnights of UTC.
        return [weights for weights in space.groups[group].weights if weights.start <= through.date()]

    if in_force(old) != in_force(new):
        yield Clash(f"{place}.weights", "Published impressions were given their window by them")
    longest = max(after.windows, default=timedelta(0))
    for split in ("validation", "test"):
        moved = getattr(old.splits, split) != getattr(new.splits, split)
        if moved and new.range_of(split)[0] + longest < through:
            yield Clash(f"splits.{split}", "Labels of its first days were not kept when they became available")


def _same(place: str, old: Any, new: Any, *keys: str) -> Iterator[Clash]:
    for key in keys:
        if getattr(old, key) != getattr(new, key):
            yield Clash(f"{place}.{key}".lstrip("."), f"It was {_shown(getattr(old, key))} in the published rows")


def _types(place: str, old: Mapping[str, str], new: Mapping[str, str]) -> Iterator[Clash]:
    for name, (before, after) in _both(old, new):
        if before != after:
            yield Clash(f"{place}.columns.{name}", f"It was {before} in the published rows")


def _both(old: Mapping[str, T], new: Mapping[str, T]) -> Iterator[tuple[str, tuple[T, T]]]:
    """What is in both, by name."""
    return ((name, (old[name], new[name])) for name in old if name in new)


def _shown(value: Any) -> str:
    if isinstance(value, tuple):
        parts = (format_duration(part) if isinstance(part, timedelta) else str(part) for part in value)
        return ", ".join(parts) or "empty"
    return "not set" if value is None else str(value)
