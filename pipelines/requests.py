"""Requests to be scored: who would be shown what, where and when; their features come from the build's own code."""

from collections.abc import Mapping
from pathlib import Path
from typing import get_args

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from pipelines.concatenation import memory, unified
from pipelines.ids import impression_id
from pipelines.privacy import side_keys
from pipelines.sources.base import require_columns
from pipelines.sources.files import read_table
from pipelines.sources.opening import open_table, resolve
from pipelines.spans import EVER
from schemas.errors import LatticeError
from schemas.space import ColumnType, ModelSpace, TableFile, TableFormat
from schemas.tables import TableColumn


def read_requests(spark: SparkSession, path: str, space: ModelSpace, group: str) -> DataFrame:
    """Requests as impressions: keys, and every column that a domain of the space declares (null where one lacks it).

    Args:
        path: a CSV, JSON lines or Parquet file (or a folder of them, ``.csv``, ``.json``, ``.jsonl`` or ``.parquet``),
            or the folder of a Delta table. It has ``domain``, ``user_id``, ``item_id``, ``impression_time`` and what
            the impressions of its domains declare; a row of another domain may leave those empty. ``source_key``, by
            which an impression is known in its domain, is made of user, item and time if there is none. A user or an
            item may be unknown, or null.

    Raises:
        LatticeError: it cannot be read, a column is missing, or a value is not of its type.
    """
    file = TableFile(path=resolve(path, Path.cwd()), format=_format(path))
    declared = _declared(space)
    columns = [
        *(TableColumn(name=name, type="string") for name in ("domain", "user_id", "item_id")),
        TableColumn(name="impression_time", type="timestamp"),
        TableColumn(name="source_key", type="string"),
        *(TableColumn(name=name, type=of, nullable=True) for name, of in declared.items()),
    ]
    own_key = F.to_json(F.array("user_id", "item_id", F.unix_micros("impression_time").cast("string")))
    defaults = {"source_key": own_key} | {name: F.lit(None).cast(of) for name, of in declared.items()}
    rows = read_table(spark, "the requests", file, columns, defaults, Path.cwd(), space.time_zone)
    found = open_table(spark, file).columns
    _check_domains(rows, found, path, space, group)
    keys = (impression_id(F.col("domain"), F.col("source_key")).alias("impression_id"), "domain", "user_id", "item_id")
    return rows.select(*keys, "impression_time", *declared)


def request_features(
    requests: DataFrame,
    events: Mapping[str, DataFrame],
    attributes: Mapping[str, DataFrame],
    space: ModelSpace,
    group: str,
) -> DataFrame:
    """The requests as ``unified`` has impressions: keys and features, from what had arrived before each one's time.

    Args:
        requests: as ``read_requests`` gives them.
        events, attributes: the space's published tables, by name.
    """
    known = memory(events, attributes, space, EVER)
    return unified(requests, known, attributes, space, EVER, side_keys(space, group))


def _format(path: str) -> TableFormat:
    kinds: tuple[TableFormat, ...] = get_args(TableFormat)
    for kind in kinds:
        if path.rstrip("/").removesuffix(".gz").endswith((f".{kind}", f".{kind}l")):
            return kind
    if "://" in path or (Path(path) / "_delta_log").is_dir():
        return "delta"
    raise LatticeError(
        path,
        "This is no request file: it ends in none of .csv, .json, .jsonl and .parquet, and is no Delta table.",
        "Give one of these with --requests.",
    )


def _declared(space: ModelSpace) -> dict[str, ColumnType]:
    return {name: kind for domain in space.domains.values() for name, kind in domain.columns.items()}


def _check_domains(rows: DataFrame, found: list[str], path: str, space: ModelSpace, group: str) -> None:
    known = space.group_domains(group)
    asked = {row["domain"]: row["count"] for row in rows.groupBy("domain").count().collect()}
    for domain, count in sorted(asked.items(), key=str):
        if domain not in known:
            named = "no domain" if domain is None else f"the domain '{domain}', which the group '{group}' has not"
            raise LatticeError(path, f"{count:,} requests name {named}.", f"Allowed: {', '.join(known)}.")
        require_columns(space.domains[domain].columns, found, f"{path}, requests of the domain '{domain}'")
