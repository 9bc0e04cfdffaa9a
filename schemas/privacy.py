"""What the privacy rules of a space mean: which tables may reach the rows of which domain (paper 3.1, compliance).

A table's ``origin`` says in which domains its rows were recorded. What a rule forbids is taken away where that loses
nothing else (a feature becomes one that the domain lacks), and refused where it would leave wrong rows behind (labels
that could only be 0, a feature that no domain may have, a table that does not say where it is from).

``users`` puts the two domains on different sides: in the tables of a group a user has another id on each side, and
what is joined by the user (histories, sequences, facts about users, feedback) stays on the side it was recorded on.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Literal

from schemas.references import BadReference

if TYPE_CHECKING:
    from schemas.space import Categorical, Dense, History, ModelSpace, Ratio, Sequence

    Feature = Categorical | Dense | History | Ratio | Sequence

Kind = Literal["users", "features", "labels"]
Table = tuple[str, str, bool]
"""A section of the space file, a table of it, and whether its rows are joined by their user."""


def apart(space: ModelSpace, kind: Kind, one: str, other: str) -> bool:
    """Whether a rule forbids that two domains share this."""
    return any(kind in rule.forbid and {one, other} == set(rule.between) for rule in space.privacy)


def ruled(space: ModelSpace, domain: str, kind: Kind) -> bool:
    """Whether a rule of this kind names the domain."""
    return any(kind in rule.forbid and domain in rule.between for rule in space.privacy)


def sides(space: ModelSpace) -> dict[str, int]:
    """Each domain's side: in the file's order, the first one on which no domain is that it must not share users with.

    All domains are on one side where no rule forbids to share users.
    """
    found: dict[str, int] = {}
    for domain in space.domains:
        taken = {side for other, side in found.items() if apart(space, "users", domain, other)}
        found[domain] = next(side for side in range(len(space.domains)) if side not in taken)
    return found


def may_label(space: ModelSpace, origin: str, domain: str) -> bool:
    """Whether feedback recorded in ``origin`` may make labels of rows of ``domain`` with the same user and item."""
    side = sides(space)
    return side[origin] == side[domain] and not apart(space, "labels", origin, domain)


def feature_domains(space: ModelSpace, feature: Feature) -> tuple[str, ...]:
    """The domains that have a feature: the declared ones, without those that its tables must not reach."""
    declared = tuple(space.domains) if isinstance(feature.domains, str) else feature.domains
    if not space.privacy:
        return declared
    used, side = tables_of(space, feature), sides(space)
    return tuple(d for d in declared if all(_may_reach(space, side, table, d) for table in used))


def tables_of(space: ModelSpace, feature: Feature) -> tuple[Table, ...]:
    """The tables that a feature is made of; columns of the impression itself are of its own domain."""
    from schemas.space import History, Ratio, Sequence

    if isinstance(feature, Ratio):
        parts: list[Feature] = []
        for name in (feature.numerator, feature.denominator):
            histories = [history for n, history in space.features.history.items() if name in _measures(n, history)]
            parts += histories or [space.features.dense[name]]
        return tuple(dict.fromkeys(table for part in parts for table in tables_of(space, part)))
    if isinstance(feature, History):
        facts = _facts(space, feature.keys)
        # Events that are told apart by a fact about their user are joined by the user too.
        by_user = "user_id" in feature.keys or any(of_user for _, _, of_user in facts)
        return (("events", feature.events, by_user), *facts)
    if isinstance(feature, Sequence):
        return ("events", feature.events, True), *_facts(space, (part.column for part in feature.ids.values()))
    return _facts(space, [feature.attribute] if feature.attribute else [])


def check_privacy(space: ModelSpace) -> None:
    """Raise BadReference at the first table that must say where it is from, or that the rules leave without use."""
    if not space.privacy:
        return
    for kind in ("categorical", "dense", "history", "ratio", "sequence"):
        features: dict[str, Feature] = getattr(space.features, kind)
        for name, feature in features.items():
            _check_feature(space, ("features", kind, name), feature)
    for name, objective in space.objectives.items():
        if objective.match == "user_item":
            _check_objective(space, name)


def _check_feature(space: ModelSpace, at: tuple[str, str, str], feature: Feature) -> None:
    domains = tuple(space.domains) if isinstance(feature.domains, str) else feature.domains
    concerned = any(ruled(space, domain, "features") for domain in domains)
    tables = tables_of(space, feature)
    for section, name, of_user in tables:
        if concerned or (of_user and _has_sides(space)):
            _check_told(space, (section, name))
    if not feature_domains(space, feature):
        raise BadReference(
            at,
            "the privacy rules leave no domain that may have this feature, which is made of "
            f"{', '.join(dict.fromkeys(table for _, table, _ in tables))}; leave it out, or give the rows of each "
            "domain as a table of their own",
        )


def _check_objective(space: ModelSpace, name: str) -> None:
    objective = space.objectives[name]
    if _has_sides(space) or any(ruled(space, domain, "labels") for domain in objective.domains):
        _check_told(space, ("objectives", name))
    for origin in _told(objective.origin):
        for domain in objective.domains:
            if not may_label(space, origin, domain):
                raise BadReference(
                    ("objectives", name, "origin"),
                    f"the privacy rules keep feedback recorded in '{origin}' from labelling rows of '{domain}'; take "
                    f"'{domain}' out of the objective's domains, or let each row say where it is from (origin: row)",
                )


def _check_told(space: ModelSpace, at: tuple[str, str]) -> None:
    if getattr(space, at[0])[at[1]].origin is None:
        raise BadReference(at, "the privacy rules need to know in which domains its rows were recorded: add 'origin'")


def _has_sides(space: ModelSpace) -> bool:
    return any("users" in rule.forbid for rule in space.privacy)


def _told(origin: tuple[str, ...] | str | None) -> tuple[str, ...]:
    return origin if isinstance(origin, tuple) else ()


def _may_reach(space: ModelSpace, side: dict[str, int], table: Table, domain: str) -> bool:
    section, name, of_user = table
    origin = _told(getattr(space, section)[name].origin)
    if any(apart(space, "features", one, domain) for one in origin):
        return False
    # What is joined by the user, and was recorded on no side, would be on all of them.
    return not (of_user and _has_sides(space)) or {side[one] for one in origin} == {side[domain]}


def _facts(space: ModelSpace, paths: Iterable[str]) -> tuple[Table, ...]:
    names = [path.split(".")[0] for path in paths if "." in path]
    return tuple(("attributes", name, space.attributes[name].key == "user_id") for name in names)


def _measures(name: str, history: History) -> list[str]:
    from schemas.features import history_measures

    return [measure.column for measure in history_measures(name, history)]


def in_force(space: ModelSpace, group: str) -> list[str]:
    """The rules that concern a group and what they come to, a sentence each."""
    domains = space.group_domains(group)
    concerned = [rule for rule in space.privacy if set(rule.between) & set(domains)]
    found = [
        f"{one} and {other} share no {', no '.join(rule.forbid)}" for rule in concerned for one, other in [rule.between]
    ]
    if not concerned:
        return []
    kinds = ("categorical", "dense", "history", "ratio", "sequence")
    for name, feature in ((n, f) for kind in kinds for n, f in getattr(space.features, kind).items()):
        declared = domains if isinstance(feature.domains, str) else [d for d in domains if d in feature.domains]
        lost = [domain for domain in declared if domain not in feature_domains(space, feature)]
        if lost:
            found.append(f"{name} is not in {', '.join(lost)}")
    return found
