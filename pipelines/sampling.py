"""Deterministic samples: of users, or of each domain's impressions, by a hash and nothing else.

Which rows are kept depends on neither partitions nor order, and a smaller rate keeps a part of what a larger one does.
"""

from dataclasses import replace
from typing import TYPE_CHECKING

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from schemas.errors import LatticeError
from schemas.space import ModelSpace, Sample

if TYPE_CHECKING:  # sources sample, too
    from pipelines.sources.base import SourceTables

_SHARES = 1_000_000


def parse_sample(space: ModelSpace, text: str) -> Sample:
    """The sample that a command-line option asks for: one that the space declares, or ``users=R``, ``impressions=R``.

    Raises:
        LatticeError: it is none of them, or its rate is not above 0 and at most 1.
    """
    if text in space.samples:
        return space.samples[text]
    by, _, number = text.partition("=")
    try:
        rate = float(number)
        if by == "users":
            return Sample(by="users", rate=rate)
        if by == "impressions":
            return Sample(by="impressions", rates=dict.fromkeys(space.domains, rate))
    except ValueError:  # pydantic's ValidationError is one too
        pass
    raise LatticeError(
        "--sample",
        f"There is no sample {text!r}.",
        f"Allowed: {', '.join([*space.samples, 'users=RATE', 'impressions=RATE'])}, with 0 < RATE <= 1.",
    )


def sample_tables(tables: "SourceTables", sample: Sample) -> "SourceTables":
    """The sampled tables.

    By users: impressions, feedback and events of the kept users, so that an item's history counts kept users only.
    By impressions: each domain's impressions at its own rate; everything else whole. Attributes stay whole in both.
    """
    if sample.by == "users":
        return replace(
            tables,
            impressions={name: sample_users(frame, sample.rate) for name, frame in tables.impressions.items()},
            feedback={name: sample_users(frame, sample.rate) for name, frame in tables.feedback.items()},
            events={name: sample_users(frame, sample.rate) for name, frame in tables.events.items()},
        )
    return replace(
        tables,
        impressions={
            domain: sample_impressions(frame, domain, sample.rates.get(domain, 1.0))
            for domain, frame in tables.impressions.items()
        },
    )


def sample_users(frame: DataFrame, rate: float, user: Column | None = None) -> DataFrame:
    """The rows of a share of the users, the same users in every table; ``user`` is ``user_id`` unless it is given."""
    return frame.where(is_kept(F.xxhash64(F.lit("sample"), F.col("user_id") if user is None else user), rate))


def pooled(impressions: DataFrame, rate: float) -> DataFrame:
    """The rows of the users who keep every candidate feature; others than ``sample_users`` would keep."""
    return impressions.where(is_kept(F.xxhash64(F.lit("pool"), F.col("user_id")), rate))


def sample_impressions(impressions: DataFrame, domain: str, rate: float) -> DataFrame:
    """A share of one domain's impressions, chosen by their own key."""
    return impressions.where(is_kept(F.xxhash64(F.lit("sample"), F.lit(domain), F.col("source_key")), rate))


def is_kept(hashed: Column, rate: float) -> Column:
    """Whether a row with this hash is among the share ``rate`` of all."""
    return F.pmod(hashed, F.lit(_SHARES)) < _shares(rate)


def kept_share(rate: float) -> float:
    """The share that ``is_kept`` keeps in expectation: ``rate``, rounded to a millionth."""
    return _shares(rate) / _SHARES


def _shares(rate: float) -> int:
    # At least one share, so that a tiny rate cannot round to nothing; a rate of 1 keeps every row.
    return max(1, round(rate * _SHARES))
