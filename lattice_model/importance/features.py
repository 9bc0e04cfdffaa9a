"""What is permuted as one: a categorical or dense feature, a whole sequence source, or a declared group of them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

from schemas.errors import LatticeError
from schemas.importance import FeatureKind
from schemas.manifest import TrainingManifest


@dataclass(frozen=True, kw_only=True)
class Feature:
    """``members`` are names in the manifest: the feature's own, or those of a group; ``domains`` have any of them."""

    name: str
    kind: FeatureKind
    members: tuple[str, ...]
    domains: tuple[str, ...]


def features_of(manifest: TrainingManifest, together: Mapping[str, Sequence[str]] | None = None) -> tuple[Feature, ...]:
    """Every feature of a manifest, ordered by name.

    ``together`` declares groups, name -> names or patterns such as ``viewer_*`` of features; a member of a group is
    not a feature by itself.

    Raises:
        LatticeError: a group has a feature's name, no member, or one of another group's.
    """
    kinds: dict[FeatureKind, dict[str, tuple[str, ...]]] = {
        "categorical": {part.name: part.domains for part in manifest.categorical},
        "dense": {part.name: part.domains for part in manifest.dense},
        "sequence": {part.name: part.domains for part in manifest.sequences},
    }
    single = {
        name: Feature(name=name, kind=kind, members=(name,), domains=domains)
        for kind, features in kinds.items()
        for name, domains in features.items()
    }
    groups: dict[str, Feature] = {}
    for name, patterns in (together or {}).items():
        members = _members(name, patterns, single, groups)
        having = {domain for member in members for domain in single[member].domains}
        domains = tuple(domain for domain in manifest.domains if domain in having)
        groups[name] = Feature(name=name, kind="group", members=members, domains=domains)
    grouped = {member for group in groups.values() for member in group.members}
    alone = [feature for name, feature in single.items() if name not in grouped]
    return tuple(sorted([*alone, *groups.values()], key=lambda feature: feature.name))


def _members(
    name: str, patterns: Sequence[str], single: Mapping[str, Feature], groups: Mapping[str, Feature]
) -> tuple[str, ...]:
    place = f"the group '{name}'"
    if name in single or name in groups:
        raise LatticeError(place, "A feature, or another group, has that name.", "Give the group another name.")
    for pattern in patterns:
        if not any(fnmatchcase(member, pattern) for member in single):
            raise LatticeError(
                place, f"No feature is called '{pattern}'.", f"Name some of {', '.join(sorted(single)[:20])}, ..."
            )
    members = tuple(member for member in single if any(fnmatchcase(member, pattern) for pattern in patterns))
    for other in groups.values():
        if shared := set(members) & set(other.members):
            raise LatticeError(
                place, f"'{min(shared)}' is in the group '{other.name}' too.", "A feature is in one group at most."
            )
    return members
