"""What benchmarks say that a build cost, and that two builds hold the same."""

import time
from datetime import date
from pathlib import Path

import pytest
from pyspark.sql import SparkSession

from benchmarks import wide
from benchmarks.build import Cost, Costs, page
from benchmarks.content import content
from benchmarks.nightly import Run, kept, measured, nights
from benchmarks.quality_result import Machine
from benchmarks.results import save
from benchmarks.spark_usage import Usage, UsageMeter
from jobs.build import STAGES
from jobs.target import Target
from schemas.errors import LatticeError


def cost(share: float, step: str, rows: int, seconds: float) -> Cost:
    return Cost(share=share, step=step, table=None, rows=rows, seconds=seconds, peak_gib=1.0, usage=Usage(cpu=2.0))


def costs() -> Costs:
    """Ten times the rows took 15 times as long; the floor was a third of the whole."""
    found = []
    for share, rows, seconds in ((0.1, 1000, 20.0), (1.0, 10_000, 300.0)):
        found += [cost(share, stage.name, rows, seconds / len(STAGES)) for stage in STAGES]
        found.append(cost(share, "floor: read and rewrite", rows, seconds / 3))
    return Costs(space="s", machine=Machine.here(), costs=tuple(found))


def test_stages_are_counted_once_and_in_their_time(spark: SparkSession) -> None:
    with UsageMeter(spark, seconds_between_looks=0.05) as meter:
        started = time.time()
        spark.range(100_000).repartition(3, "id").groupBy("id").count().collect()
        between = time.time()
        spark.range(10).collect()
        ended = time.time()
        first, second = meter.between(started, between), meter.between(between, ended)
        assert first.shuffled > 100_000
        assert second.shuffled == 0 < second.cpu < first.cpu
        assert meter.between(started, ended) == first + second


def test_the_slope_and_the_floor_are_those_of_the_seconds() -> None:
    text = page(costs())
    assert "share 1: 10,000 impressions in 300 s, 33 a second; 3.0 times the floor" in text
    assert "slope from 0.1 to 1: 1.18" in text


def test_content_is_that_of_the_rows_in_any_order(spark: SparkSession) -> None:
    rows = spark.createDataFrame([(1, "a", None), (2, None, 2.5), (2, None, 2.5)], "x INT, y STRING, z DOUBLE")
    again = rows.orderBy("y").select("z", "x", "y").repartition(2)
    assert content(again) == content(rows)
    assert content(rows.distinct()) != content(rows)
    assert content(rows.fillna({"y": ""})) != content(rows)


def test_nights_are_compared_with_a_build_that_was_measured(spark: SparkSession, tmp_path: Path) -> None:
    whole = tmp_path / "build.md"
    held = {"unified": content(spark.range(7))}
    save(costs().model_copy(update={"contents": {1.0: held}}), "", whole)
    run, found = measured(whole, "s", None, date(2020, 1, 1))
    assert run.seconds == pytest.approx(300.0)
    assert (run.rows, run.usage.cpu) == (7, 2.0 * len(STAGES))
    assert found == held
    for space, sample in (("s", "impressions=0.1"), ("other", None)):
        with pytest.raises(LatticeError, match="It holds no build of"):
            measured(whole, space, sample, date(2020, 1, 1))


def test_nights_go_on_after_those_that_were_noted(spark: SparkSession, tmp_path: Path) -> None:
    days = [date(2020, 3, day) for day in (1, 2)]
    done = [Run(through=day, rows=5, all_rows=9, seconds=1.5, usage=Usage(cpu=2.0)) for day in days]
    log = tmp_path / "nights.jsonl"
    assert kept(log) == []
    # The run was killed while it wrote the third line.
    log.write_text("".join(f"{run.model_dump_json()}\n" for run in done) + done[0].model_dump_json()[:40])
    assert kept(log) == done

    target = Target.parse("complete_journey", str(tmp_path), "all")
    assert list(nights(UsageMeter(spark), target, last=days[-1], count=1, done=done)) == []
    for last, count in ((date(2020, 3, 3), 1), (days[-1], 2)):
        with pytest.raises(LatticeError, match="not the first asked for"):
            next(nights(UsageMeter(spark), target, last=last, count=count, done=done))


def test_the_price_of_columns_is_their_cpu() -> None:
    """Ten times the columns, a hundred times the CPU: a slope of 2."""
    widths = tuple(
        wide.Width(
            columns=columns, seconds={"space": 1.0, "ingest": 9.0}, cpu={"space": 1.0, "ingest": cpu - 1}, peak_gib=1.0
        )
        for columns, cpu in ((300, 6.0), (3000, 600.0))
    )
    text = wide.page(wide.Widths(rows=10, command="", machine=Machine.here(), widths=widths))
    assert "| 3,000 | 1.0 | 599.0 | 600 | 200 | 10 | 1.0 |" in text
    assert "slope from 300 to 3,000 columns: 2.00." in text
