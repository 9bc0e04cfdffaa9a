"""Checks that every name a space file uses is declared in it, once."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from schemas.duration import format_duration

if TYPE_CHECKING:
    from schemas.space import History, ModelSpace, Sequence, _Feature


# Columns of our own beside the features; names that start with label_ are too.
RESERVED = (
    *("impression_id", "domain", "user_id", "item_id", "impression_time", "available_time"),
    *("window", "split", "domain_index", "window_index", "weight"),
)


class BadReference(ValueError):
    """A name that nothing declares, or that is declared twice; ``location`` is its path of keys in the file."""

    def __init__(self, location: tuple[str | int, ...], problem: str) -> None:
        super().__init__(problem)
        self.location = location


def check_references(space: ModelSpace) -> None:
    """Raise BadReference at the first name that is used and not declared, or is kept from where it is used."""
    from schemas.privacy import check_privacy

    for name, objective in space.objectives.items():
        _known(objective.domains, space.domains, ("objectives", name, "domains"), "domain")
    for section, origins in _origins(space):
        _known(origins, space.domains, section, "domain")
    for name, group in space.groups.items():
        _check_group(space, name, ("groups", name), group.portfolios)
    for name, categorical in space.features.categorical.items():
        at = ("features", "categorical", name)
        _known([categorical.id_space], space.id_spaces, (*at, "id_space"), "id space", listed=False)
        _check_origin(space, at, categorical, categorical.column, categorical.attribute)
    for name, dense in space.features.dense.items():
        _check_origin(space, ("features", "dense", name), dense, dense.column, dense.attribute)
    for name, history in space.features.history.items():
        _check_history(space, ("features", "history", name), history)
    for name, sequence in space.features.sequence.items():
        _check_sequence(space, ("features", "sequence", name), sequence)
    _check_ratios(space)
    for index, rule in enumerate(space.privacy):
        _known(rule.between, space.domains, ("privacy", index, "between"), "domain")
    for name, sample in space.samples.items():
        _known(sample.rates, space.domains, ("samples", name, "rates"), "domain", listed=False)
    for name, part in space.slices.items():
        _known([part.feature], space.features.dense, ("slices", name, "feature"), "dense feature", listed=False)
        _known(part.domains, space.domains, ("slices", name, "domains"), "domain")
    _check_quality(space)
    _check_column_types(space)
    _check_unique_names(space)
    check_privacy(space)


def _origins(space: ModelSpace) -> Iterator[tuple[tuple[str, ...], tuple[str, ...]]]:
    for section in ("objectives", "events", "attributes"):
        for name, table in getattr(space, section).items():
            if isinstance(table.origin, tuple):
                yield (section, name, "origin"), table.origin


def _known(
    names: Iterable[str], declared: Iterable[str], at: tuple[str | int, ...], kind: str, listed: bool = True
) -> None:
    allowed = list(declared)
    for index, name in enumerate(names):
        if name not in allowed:
            place = (*at, index) if listed else at
            near = difflib.get_close_matches(name, allowed, n=8, cutoff=0.4) if len(allowed) > 12 else allowed
            label = "close to it" if len(allowed) > 12 else "declared"
            raise BadReference(place, f"unknown {kind} '{name}'; {label}: {', '.join(near) or 'none'}")


def _check_group(space: ModelSpace, name: str, at: tuple[str, ...], chosen: tuple[str, ...] | str) -> None:
    if not isinstance(chosen, str):
        every = [f"{domain}/{o}" for o, objective in space.objectives.items() for domain in objective.domains]
        _known(chosen, every, (*at, "portfolios"), "portfolio")
    _known(space.groups[name].negatives, space.group_domains(name), (*at, "negatives"), "domain", listed=False)
    for objective in space.group_objectives(name):
        for window in space.objectives[objective].windows:
            if window not in space.groups[name].windows:
                raise BadReference(
                    (*at, "windows"),
                    f"objective '{objective}' uses the window {format_duration(window)}, which the group does not list",
                )


def _domains_of(space: ModelSpace, feature: _Feature, at: tuple[str, ...]) -> list[str]:
    if feature.domains == "all":
        return list(space.domains)
    _known(feature.domains, space.domains, (*at, "domains"), "domain")
    return list(feature.domains)


def _check_origin(
    space: ModelSpace, at: tuple[str, ...], feature: _Feature, column: str | None, attribute: str | None
) -> None:
    domains = _domains_of(space, feature, at)
    if column is not None and column not in ("user_id", "item_id"):
        for domain in domains:
            declared = space.domains[domain].columns
            if column not in declared:
                raise BadReference(
                    (*at, "column"),
                    f"domain '{domain}' has no column '{column}'; declared: {', '.join(declared) or 'none'}",
                )
    if attribute is not None:
        _check_attribute(space, (*at, "attribute"), attribute)


def _check_attribute(space: ModelSpace, at: tuple[str | int, ...], path: str) -> None:
    every = [f"{name}.{column}" for name, table in space.attributes.items() for column in table.columns]
    _known([path], every, at, "attribute", listed=False)


def _check_history(space: ModelSpace, at: tuple[str, ...], history: History) -> None:
    from schemas.features import history_measures

    _domains_of(space, history, at)
    _known([history.events], space.events, (*at, "events"), "event table", listed=False)
    numbers = [c for c, kind in space.events[history.events].columns.items() if kind in ("double", "long")]
    _known(history.sums, numbers, (*at, "sums"), "numeric event column")
    if not isinstance(history.measures, str):
        spanned = history_measures("", history.model_copy(update={"measures": "all"}))
        _known(history.measures, [m.column.removeprefix("_") for m in spanned], (*at, "measures"), "measure")
    for index, key in enumerate(history.keys):
        if key not in ("user_id", "item_id"):
            _check_attribute(space, (*at, "keys", index), key)


def _check_sequence(space: ModelSpace, at: tuple[str, ...], sequence: Sequence) -> None:
    _domains_of(space, sequence, at)
    _known([sequence.events], space.events, (*at, "events"), "event table", listed=False)
    columns = space.events[sequence.events].columns
    _known(sequence.dense, [c for c, k in columns.items() if k in ("double", "long")], (*at, "dense"), "event column")
    for field, part in sequence.ids.items():
        _known([part.id_space], space.id_spaces, (*at, "ids", field, "id_space"), "id space", listed=False)
        if "." in part.column:
            _check_attribute(space, (*at, "ids", field, "column"), part.column)
        else:
            _known([part.column], ["item_id", *columns], (*at, "ids", field, "column"), "event column", listed=False)


def _check_ratios(space: ModelSpace) -> None:
    from schemas.features import dense_columns

    available = [feature.name for feature in dense_columns(space, ratios=False)]
    for name, ratio in space.features.ratio.items():
        at = ("features", "ratio", name)
        _domains_of(space, ratio, at)
        _known([ratio.numerator], available, (*at, "numerator"), "dense feature", listed=False)
        _known([ratio.denominator], available, (*at, "denominator"), "dense feature", listed=False)


def _check_quality(space: ModelSpace) -> None:
    kinds = {
        f"{section}.{name}.{column}": kind
        for section in ("domains", "events", "attributes")
        for name, table in getattr(space, section).items()
        for column, kind in table.columns.items()
    }
    for place, rule in space.quality.columns.items():
        at = ("quality", "columns", place)
        _known([place], kinds, at, "column", listed=False)
        limited = rule.min is not None or rule.max is not None
        if limited and kinds[place] not in ("long", "double"):
            raise BadReference(at, f"the column is declared {kinds[place]}, which has no min and no max")
        if rule.min is not None and rule.max is not None and rule.min > rule.max:
            raise BadReference(at, f"min {rule.min:g} is above max {rule.max:g}")
        of_text = kinds[place] == "string"
        if rule.values is not None and any(isinstance(value, str) is not of_text for value in rule.values):
            raise BadReference((*at, "values"), f"the column is declared {kinds[place]}, which one of these is not")
    for name in space.quality.lacking:
        _known([name], space.attributes, ("quality", "lacking", name), "table of attributes", listed=False)


def _check_column_types(space: ModelSpace) -> None:
    kinds: dict[str, tuple[str, str]] = {}
    for name, domain in space.domains.items():
        for column, kind in domain.columns.items():
            other, known = kinds.setdefault(column, (name, kind))
            if kind != known:
                at = ("domains", name, "columns", column)
                raise BadReference(at, f"'{column}' is {kind} here and {known} in domain '{other}'; give it one type")


def _check_unique_names(space: ModelSpace) -> None:
    from schemas.features import categorical_columns, dense_columns, sequence_columns

    taken = set(RESERVED)
    columns = [("categorical", c.name, c.name) for c in categorical_columns(space)]
    columns += [("dense", c.name, c.name) for c in dense_columns(space)]
    columns += [("sequence", s.name, c) for s in sequence_columns(space) for c in (*s.columns, f"{s.name}_length")]
    for kind, feature, column in columns:
        if column in taken or column.startswith("label_"):
            raise BadReference(
                ("features", kind, feature), f"the column '{column}' is there already; give the feature another name"
            )
        taken.add(column)
