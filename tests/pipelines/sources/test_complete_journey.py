"""The grocer's rules on a few rows, worked out by hand from the comments in ``journey.py``."""

import random
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from pyspark.sql import DataFrame, SparkSession

from pipelines.sampling import sample_tables
from pipelines.sources import read_source
from pipelines.sources.base import SourceTables
from pipelines.spans import Span
from schemas.errors import LatticeError
from schemas.space import Domain, Sample
from schemas.space_file import load_space
from schemas.tables import FEEDBACK, attribute_columns, event_columns, impression_columns
from tests.pipelines.sources.journey import write_journey


@pytest.fixture(scope="module")
def tables(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> SourceTables:
    folder = tmp_path_factory.mktemp("journey")
    return read_source(spark, write_journey(folder), folder)


def _rows(frame: DataFrame, *columns: str) -> list[tuple[Any, ...]]:
    return sorted((tuple(row) for row in frame.select(*columns).collect()), key=repr)


def test_every_table_has_the_declared_columns(tables: SourceTables) -> None:
    space = load_space("complete_journey")
    expected = {
        **{name: (tables.impressions[name], impression_columns(domain)) for name, domain in space.domains.items()},
        **{name: (tables.feedback[name], FEEDBACK) for name in space.objectives},
        **{name: (tables.events[name], event_columns(events)) for name, events in space.events.items()},
        **{name: (tables.attributes[name], attribute_columns(table)) for name, table in space.attributes.items()},
    }
    spark_names = {"long": "bigint"}
    for frame, columns in expected.values():
        assert frame.dtypes == [(column.name, spark_names.get(column.type, column.type)) for column in columns]


def test_a_coupon_is_sent_at_the_first_instant_of_the_campaigns_first_day_in_new_york(tables: SourceTables) -> None:
    winter, summer = datetime(2017, 3, 1, 5), datetime(2017, 7, 1, 4)
    columns = ("source_key", "user_id", "item_id", "impression_time", "arrival_time")
    assert _rows(tables.impressions["coupon"], *columns) == [
        ("1:1:MILK", "1", "MILK", winter, winter),
        ("2:1:BEER", "1", "BEER", summer, summer),
        ("2:2:BEER", "2", "BEER", summer, summer),
    ]


def test_type_a_is_flagged_as_eligibility_and_repeated_coupon_rows_count_once(tables: SourceTables) -> None:
    coupon = tables.impressions["coupon"].where("user_id = '1'")
    columns = ("campaign", "campaign_type", "campaign_days", "products", "manufacturers", "eligibility_only")
    assert _rows(coupon, *columns) == [("1", "A", 10, 3, 2, 1), ("2", "B", 1, 1, 1, 0)]


def test_a_trip_into_a_store_with_the_category_on_display(tables: SourceTables) -> None:
    columns = ("source_key", "user_id", "impression_time", "store", "location", "products", "locations", "twin")
    assert _rows(tables.impressions["display"], *columns) == [
        # Two products of milk at 9, one at 5; one of them is in the mailer too.
        ("100:MILK", "1", datetime(2017, 3, 6, 1, 30), "7", "9", 3, 2, 1),
        ("101:MILK", "1", datetime(2017, 3, 7, 15, 0), "7", "9", 3, 2, 1),
        # One product each at A and 3: the first by its code.
        ("102:BEER", "2", datetime(2017, 3, 6, 12, 0), "8", "3", 2, 2, 0),
    ]


def test_twins_share_user_item_and_time_with_the_other_domain(tables: SourceTables) -> None:
    columns = ("source_key", "user_id", "item_id", "impression_time")
    mailer = tables.impressions["mailer"]
    assert _rows(mailer, "source_key", "location", "products", "twin") == [
        ("100:BEER", "D", 1, 0),
        ("100:MILK", "A", 1, 1),
        ("101:BEER", "D", 1, 0),
        ("101:MILK", "A", 1, 1),
    ]
    display_twins = _rows(tables.impressions["display"].where("twin = 1"), *columns)
    assert _rows(mailer.where("twin = 1"), *columns) == display_twins


def test_products_without_a_category_give_no_impression_and_no_feedback(tables: SourceTables) -> None:
    for frame in (*tables.impressions.values(), *tables.feedback.values(), tables.events["purchases"]):
        assert {row.item_id for row in frame.select("item_id").collect()} <= {"MILK", "BEER"}


def test_buying_on_the_trip_answers_the_impressions_of_both_in_store_domains(tables: SourceTables) -> None:
    keys = ["100:MILK", "101:BEER", "103:BEER"]
    assert _rows(tables.feedback["basket"], "domain", "source_key") == [
        (domain, key) for domain in ("display", "mailer") for key in keys
    ]


def test_a_purchase_is_a_category_in_a_basket_with_its_amounts_in_dollars(tables: SourceTables) -> None:
    columns = ("user_id", "item_id", "event_time", "store", "quantity", "spend", "discount", "products")
    assert _rows(tables.events["purchases"], *columns) == [
        ("1", "BEER", datetime(2017, 3, 7, 15, 0), "7", 1.0, 5.0, 0.0, 1),
        ("1", "MILK", datetime(2017, 3, 6, 1, 30), "7", 3.0, 4.3, 1.15, 2),
        ("2", "BEER", datetime(2017, 3, 12, 20, 0), "9", 1.0, 5.0, 0.0, 1),
    ]
    assert _rows(tables.feedback["purchase"], "user_id", "item_id", "feedback_time", "value") == _rows(
        tables.events["purchases"], "user_id", "item_id", "event_time", "spend"
    )


def test_a_trip_counts_products_without_a_category_in_its_amounts(tables: SourceTables) -> None:
    assert _rows(tables.events["trips"], "user_id", "item_id", "quantity", "spend", "discount", "categories") == [
        ("1", "7", 1.0, 5.0, 0.0, 1),
        ("1", "7", 4.0, 14.29, 1.15, 1),
        ("2", "8", 1.0, 1.0, 0.0, 0),
        ("2", "9", 1.0, 5.0, 0.0, 1),
    ]


def test_a_redemption_counts_once_at_the_last_microsecond_of_its_day_in_new_york(tables: SourceTables) -> None:
    redeem = tables.feedback["redeem"]
    assert _rows(redeem, "source_key", "domain", "user_id", "item_id", "feedback_time") == [
        # Two coupons, one category. By UTC days it would not be on a day with a basket, and 6 March would be.
        ("1:1:MILK", "coupon", "1", "MILK", datetime(2017, 3, 6, 4, 59, 59, 999999)),
        ("2:2:BEER", "coupon", "2", "BEER", datetime(2017, 3, 13, 3, 59, 59, 999999)),
    ]
    assert tables.events["redemptions"].count() == 2


def test_attributes_have_one_row_a_key_and_ties_go_by_name(tables: SourceTables) -> None:
    assert _rows(tables.attributes["category"], "item_id", "department", "assortment", "brands", "national_share") == [
        ("BEER", "ALCOHOL", 2, 1, 0.5),
        ("MILK", "GROCERY", 3, 2, 2 / 3),
    ]
    assert _rows(tables.attributes["household"], "user_id", "age", "home_ownership") == [("1", "35-44", None)]


def test_the_order_of_the_raw_rows_changes_nothing(spark: SparkSession, tmp_path: Path) -> None:
    dice = random.Random(7)
    bought = [
        (1, 7, 1, product, 1, dice.randrange(10_000) / 100, 0.07, 0.1, 0.2, 10, datetime(2017, 5, 1))
        for product in range(1, 500)
    ]
    products = [(product, 1, "GROCERY", "National", "MILK") for product in range(1, 500)]
    outcomes = []
    for order in range(3):
        shuffled = dice.sample(bought, len(bought))
        folder = tmp_path / str(order)
        folder.mkdir()
        space = write_journey(folder, transactions=shuffled, products=products)
        outcomes.append(_rows(read_source(spark, space, folder).events["trips"].repartition(3), "spend", "discount"))
    cents = sum(round(row[5] * 100) for row in bought)
    assert outcomes == [[(cents / 100, 37 * 499 / 100)]] * 3


def test_the_package_gives_the_published_number_of_coupon_impressions(spark: SparkSession) -> None:
    space = load_space("complete_journey")
    coupon = read_source(spark, space, Path()).impressions["coupon"]
    assert _rows(coupon.groupBy("campaign_type").count(), "campaign_type", "count") == [
        ("A", 756_369),
        ("B", 39_296),
        ("C", 7_678),
    ]


def test_a_missing_file_and_a_missing_column_are_named(spark: SparkSession, tmp_path: Path) -> None:
    space = write_journey(tmp_path)
    (tmp_path / "coupons.parquet").unlink()
    with pytest.raises(LatticeError) as missing_file:
        read_source(spark, space, tmp_path)
    assert "coupons.parquet" in missing_file.value.place

    write_journey(tmp_path)
    (tmp_path / "coupons.parquet").write_bytes((tmp_path / "campaigns.parquet").read_bytes())
    with pytest.raises(LatticeError, match="'coupon_upc' is missing; found: campaign_id, household_id"):
        read_source(spark, space, tmp_path)


def test_a_domain_that_the_source_does_not_give_is_named(spark: SparkSession, tmp_path: Path) -> None:
    space = write_journey(tmp_path)
    grown = space.model_copy(update={"domains": {**space.domains, "leaflet": Domain()}})
    with pytest.raises(LatticeError) as error:
        read_source(spark, grown, tmp_path)
    assert error.value.place == "domains.leaflet"
    assert "coupon, display, mailer" in error.value.remedy


@pytest.mark.parametrize(
    "day", [datetime(2017, 3, 6), datetime(2017, 3, 7), datetime(2017, 3, 12), datetime(2017, 7, 1)]
)
def test_a_span_holds_what_arrived_in_it(
    spark: SparkSession, tables: SourceTables, tmp_path: Path, day: datetime
) -> None:
    span = Span(day.replace(tzinfo=UTC), day.replace(tzinfo=UTC) + timedelta(days=1))
    found = read_source(spark, write_journey(tmp_path), tmp_path, span)
    for name in ("impressions", "feedback", "events"):
        for table, whole in getattr(tables, name).items():
            inside = getattr(found, name)[table].where(span.holds("arrival_time"))
            assert _rows(inside, "*") == _rows(whole.where(span.holds("arrival_time")), "*"), table


def test_a_sample_of_a_span_holds_its_households(spark: SparkSession, tables: SourceTables, tmp_path: Path) -> None:
    span = Span(datetime(2017, 3, 6, tzinfo=UTC), datetime(2017, 3, 8, tzinfo=UTC))
    space = write_journey(tmp_path)
    counts = []
    for rate in (0.3, 0.6, 1.0):
        sample = Sample(by="users", rate=rate)
        found = sample_tables(read_source(spark, space, tmp_path, span, sample), sample)
        wanted = sample_tables(tables, sample)
        for name in ("impressions", "feedback", "events"):
            for table, whole in getattr(wanted, name).items():
                inside = getattr(found, name)[table].where(span.holds("arrival_time"))
                assert _rows(inside, "*") == _rows(whole.where(span.holds("arrival_time")), "*"), (table, rate)
        counts.append(found.events["purchases"].count())
    assert counts[0] < counts[-1]
