"""What the privacy rules do to rows (schemas.privacy says what they mean): other user ids a side, feedback set apart.

Features that a domain must not have are none of this module's concern: there they are features that it lacks.
"""

from collections.abc import Mapping

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from pipelines.keyed import key_for, keyed_hash, keyed_text
from schemas.privacy import may_label, ruled, sides
from schemas.space import ModelSpace

DIGITS = 32
"""How much of a hash a user's id on a side is."""


def side_keys(space: ModelSpace, group: str) -> dict[str, bytes]:
    """By domain the key that its users' ids are hashed with in a group's tables; empty where they stay as they are.

    Raises:
        LatticeError: a rule needs the key of the environment, and it has none.
    """
    side = sides(space)
    if not any(ruled(space, domain, "users") for domain in space.group_domains(group)):
        return {}
    return {domain: key_for("users", space.name, group, str(side[domain])) for domain in space.domains}


def possible_ids(space: ModelSpace, group: str, user: str) -> list[str]:
    """Every id that a user may have in the tables of a group, whatever rules they were made under."""
    keys = (key_for("users", space.name, group, str(side)) for side in range(len(space.domains)))
    return [user, *(keyed_text(key, user)[:DIGITS] for key in keys)]


def with_side_ids(rows: DataFrame, keys: Mapping[str, bytes]) -> DataFrame:
    """``rows`` with the ``user_id`` of their ``domain``'s side."""
    return rows.withColumn("user_id", _side_id(keys, F.col("user_id"))) if keys else rows


def creditable(feedback: DataFrame, space: ModelSpace, group: str, keys: Mapping[str, bytes]) -> DataFrame:
    """Feedback that is set apart by the domain whose rows it may label, where a rule wants that.

    Then each row comes once for each such domain of the group, which is its ``domain``, with the user's id there;
    feedback that names its impression comes as it is. Otherwise nothing changes.

    Args:
        feedback: has ``origin``, the domain it was recorded in, where its objective declares ``origin: row``.
        keys: ``side_keys``.
    """
    domains = space.group_domains(group)
    if not keys and not any(ruled(space, domain, "labels") for domain in domains):
        return feedback
    reached = F.array(F.lit(None).cast("string"))
    for name in space.group_objectives(group):
        objective = space.objectives[name]
        if objective.match == "user_item":
            reached = F.when(F.col("objective") == name, _reached(space, domains, name)).otherwise(reached)
    found = feedback.withColumn("domain", F.explode(reached))
    return with_side_ids(found, keys)


def _reached(space: ModelSpace, domains: tuple[str, ...], name: str) -> Column:
    """The domains that feedback of an objective may label rows of (array of string)."""
    objective = space.objectives[name]
    if objective.origin != "row":
        # The space was refused if one of them were not allowed.
        return F.array(*map(F.lit, objective.domains))
    reached = F.lit(None).cast("array<string>")
    for origin in space.domains:
        allowed = [domain for domain in domains if may_label(space, origin, domain)]
        here = F.array(*map(F.lit, allowed)).cast("array<string>")
        reached = F.when(F.col("origin") == origin, here).otherwise(reached)
    return reached


def _side_id(keys: Mapping[str, bytes], user: Column) -> Column:
    found = user
    for domain, key in keys.items():
        found = F.when(F.col("domain") == domain, F.left(keyed_hash(key, user), F.lit(DIGITS))).otherwise(found)
    return found
