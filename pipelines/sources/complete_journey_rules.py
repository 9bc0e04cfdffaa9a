"""The Complete Journey's rules, from its raw tables to impressions, feedback, events and attributes.

User = household, item = product category. Timestamps are UTC; the dates of campaigns and redemptions are days in New
York. Products without a category give no impression, no feedback and no purchase. A basket has exactly one timestamp.
"""

from collections.abc import Mapping

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

Raw = Mapping[str, DataFrame]
"""The package's files by name, with the columns that are used here."""

_ZONE = "America/New_York"
_NOWHERE = "0"
_BASKET = ("basket_id", "household_id", "store_id", "week", "transaction_timestamp")


def coupon_impressions(raw: Raw) -> DataFrame:
    """A campaign's coupons for one category, sent to one household at the first instant of the campaign."""
    offers = (
        raw["coupons"]
        .join(_categories_of_products(raw), on="product_id", how="inner")
        .groupBy("campaign_id", "item_id")
        .agg(
            F.count_distinct("product_id").alias("products"), F.count_distinct("manufacturer_id").alias("manufacturers")
        )
    )
    return (
        raw["campaigns"]
        .join(F.broadcast(raw["campaign_descriptions"]), on="campaign_id", how="inner")
        .join(F.broadcast(offers), on="campaign_id", how="inner")
        .select(
            _key("campaign_id", "household_id", "item_id"),
            F.col("household_id").alias("user_id"),
            "item_id",
            F.to_utc_timestamp("start_date", _ZONE).alias("impression_time"),
            F.col("campaign_id").alias("campaign"),
            F.substring_index("campaign_type", " ", -1).alias("campaign_type"),
            # Both the first and the last day count.
            (F.date_diff("end_date", "start_date") + 1).alias("campaign_days"),
            "products",
            "manufacturers",
            (F.col("campaign_type") == "Type A").cast("long").alias("eligibility_only"),
        )
    )


def in_store_impressions(raw: Raw, location: str, other: str) -> DataFrame:
    """A trip into a store that has the category at a ``location`` that week; a twin has an ``other`` one too."""
    baskets = raw["transactions"].select(*_BASKET).distinct()
    return (
        placements(raw, location, other)
        .join(F.broadcast(baskets), on=["store_id", "week"], how="inner")
        .select(
            _key("basket_id", "item_id"),
            F.col("household_id").alias("user_id"),
            "item_id",
            F.col("transaction_timestamp").alias("impression_time"),
            F.col("store_id").alias("store"),
            "location",
            "products",
            "locations",
            "twin",
        )
    )


def promotions_of(raw: Raw, trips: Column) -> DataFrame:
    """The promotions of the weeks (the grocer's, not the calendar's) in which some ``trips`` were made."""
    weeks = raw["transactions"].where(trips).select("week").distinct()
    return raw["promotions"].join(F.broadcast(weeks), on="week", how="left_semi")


def placements(raw: Raw, location: str, other: str) -> DataFrame:
    """One row for each store, week and category that has a ``location`` there.

    ``location`` is the one with most products, the first of equals by its code; ``products`` counts a product once
    at each of its locations; ``twin`` is 1 if any product of the category has an ``other`` location there.
    """
    place = ["store_id", "week", "item_id"]
    somewhere = F.col("location") != _NOWHERE
    return (
        raw["promotions"]
        .join(_categories_of_products(raw), on="product_id", how="inner")
        .groupBy(*place, F.col(location).alias("location"))
        .agg(F.count(F.lit(1)).alias("products"), F.max((F.col(other) != _NOWHERE).cast("long")).alias("twin"))
        .groupBy(*place)
        .agg(
            F.min(F.when(somewhere, F.struct((-F.col("products")).alias("rank"), "location"))).alias("most"),
            F.sum(F.when(somewhere, F.col("products"))).alias("products"),
            F.count_if(somewhere).alias("locations"),
            F.max("twin").alias("twin"),
        )
        .where("locations > 0")
        .select(*place, F.col("most.location").alias("location"), "products", "locations", "twin")
    )


def purchases(raw: Raw) -> DataFrame:
    """A category in a basket."""
    return (
        raw["transactions"]
        .join(_categories_of_products(raw), on="product_id", how="inner")
        .groupBy(*_BASKET, "item_id")
        .agg(*_amounts(), F.count_distinct("product_id").alias("products"))
        .select(
            "basket_id",
            F.col("household_id").alias("user_id"),
            "item_id",
            F.col("transaction_timestamp").alias("event_time"),
            F.col("store_id").alias("store"),
            "quantity",
            "spend",
            "discount",
            "products",
        )
    )


def trips(raw: Raw) -> DataFrame:
    """A basket as a whole, products without a category included; its item is the store."""
    return (
        raw["transactions"]
        .join(_categories_of_products(raw), on="product_id", how="left")
        .groupBy(*_BASKET)
        .agg(*_amounts(), F.count_distinct("item_id").alias("categories"))
        .select(
            F.col("household_id").alias("user_id"),
            F.col("store_id").alias("item_id"),
            F.col("transaction_timestamp").alias("event_time"),
            "quantity",
            "spend",
            "discount",
            "categories",
        )
    )


def redemptions(raw: Raw, bought: DataFrame) -> DataFrame:
    """A coupon of a campaign redeemed on a day on which the household buys a category that the coupon covers.

    One row a campaign, household, category and day, at the day's last microsecond; the key is the coupon impression's.
    """
    covered = (
        raw["coupons"]
        .join(_categories_of_products(raw), on="product_id", how="inner")
        .select("coupon_upc", "campaign_id", "item_id")
    )
    redeemed = (
        raw["coupon_redemptions"]
        .join(covered, on=["coupon_upc", "campaign_id"], how="inner")
        .select(
            F.col("household_id").alias("user_id"), "campaign_id", "item_id", F.to_date("redemption_date").alias("day")
        )
    )
    day = F.to_date(F.from_utc_timestamp("event_time", _ZONE))
    # A semi join and distinct: neither a second basket of that day nor a second coupon makes a second redemption.
    return (
        redeemed.join(
            bought.select("user_id", "item_id", day.alias("day")), on=["user_id", "item_id", "day"], how="semi"
        )
        .distinct()
        .select(
            "user_id",
            "item_id",
            (F.to_utc_timestamp(F.date_add("day", 1), _ZONE) - F.expr("INTERVAL 1 MICROSECOND")).alias("event_time"),
            _key("campaign_id", "user_id", "item_id"),
            F.lit("coupon").alias("domain"),
            F.lit(None).alias("value"),
        )
    )


def in_basket(bought: DataFrame) -> DataFrame:
    """That a category is bought: the answer to that basket's impression, where there is one, in either domain."""
    return bought.select(
        "user_id",
        "item_id",
        F.col("event_time").alias("feedback_time"),
        _key("basket_id", "item_id"),
        F.explode(F.array(F.lit("display"), F.lit("mailer"))).alias("domain"),
        F.col("spend").alias("value"),
    )


def bought_later(bought: DataFrame) -> DataFrame:
    """Every purchase of a category, for any impression of that household and category before it."""
    return bought.select(
        "user_id",
        "item_id",
        F.col("event_time").alias("feedback_time"),
        F.lit(None).alias("source_key"),
        F.lit(None).alias("domain"),
        F.col("spend").alias("value"),
    )


def households(raw: Raw) -> DataFrame:
    """Demographics, which a third of the households have."""
    return raw["demographics"].withColumnRenamed("household_id", "user_id")


def categories(raw: Raw) -> DataFrame:
    """A category's products: how many, of how many manufacturers, which share national, mostly of which department."""
    products = raw["products"].where("product_category IS NOT NULL").withColumnRenamed("product_category", "item_id")
    departments = (
        products.groupBy("item_id", "department")
        .agg(F.count(F.lit(1)).alias("size"))
        .groupBy("item_id")
        .agg(F.min(F.struct((-F.col("size")).alias("rank"), "department")).getField("department").alias("department"))
    )
    return (
        products.groupBy("item_id")
        .agg(
            F.count(F.lit(1)).alias("assortment"),
            F.count_distinct("manufacturer_id").alias("brands"),
            F.avg((F.col("brand") == "National").cast("long")).alias("national_share"),
        )
        .join(departments, on="item_id", how="inner")
        .select("item_id", "department", "assortment", "brands", "national_share")
    )


def _categories_of_products(raw: Raw) -> DataFrame:
    """product_id (unique), manufacturer_id, item_id of the products that have a category."""
    known = raw["products"].where("product_category IS NOT NULL")
    return F.broadcast(known.select("product_id", "manufacturer_id", F.col("product_category").alias("item_id")))


def _amounts() -> list[Column]:
    """Sums over a basket's lines; money in whole cents, so that no order of the rows changes the result."""

    def dollars(*columns: str) -> Column:
        cents = [F.round(F.col(column) * 100).cast("long") for column in columns]
        return F.sum(sum(cents[1:], cents[0])) / 100

    return [
        F.sum("quantity").alias("quantity"),
        dollars("sales_value").alias("spend"),
        dollars("retail_disc", "coupon_disc", "coupon_match_disc").alias("discount"),
    ]


def _key(*columns: str) -> Column:
    """The source's own key: the columns, of which only the last is free text, joined by colons."""
    return F.concat_ws(":", *(F.col(column).cast("string") for column in columns)).alias("source_key")
