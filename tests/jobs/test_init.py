"""``lattice init``: what it writes, what it refuses, and that Spark takes what it wrote, unedited."""

from pathlib import Path

import pandas as pd
import pytest
from pyspark.sql import SparkSession
from typer.testing import CliRunner, Result

from jobs.cli import application
from pipelines.tables import published, read
from schemas.errors import LatticeError
from schemas.space_file import load_space
from tests.pipelines.guessing.made import shop

RUNNER = CliRunner()


def init(*arguments: str | Path) -> Result:
    return RUNNER.invoke(application("init"), ["init", *map(str, arguments)])


def refused(*arguments: str | Path) -> LatticeError:
    error = init(*arguments).exception
    assert isinstance(error, LatticeError), error
    return error


def test_it_prints_the_file_or_writes_it(tmp_path: Path) -> None:
    shop(tmp_path)
    tables, out = (tmp_path / "views.csv", tmp_path / "orders.csv"), tmp_path / "my_shop.yaml"
    printed = init(*tables, "--name", "my_shop").output
    assert "lattice plan --space" in init(*tables, "--out", out).output
    # Beside the tables they are named by their place from there.
    assert printed.replace(f"{tmp_path}/", "") == out.read_text()
    assert load_space(out).name == "my_shop"


def test_a_file_that_is_there_is_kept(tmp_path: Path) -> None:
    shop(tmp_path)
    tables, out = (tmp_path / "views.csv", tmp_path / "orders.csv"), tmp_path / "shop.yaml"
    out.write_text("mine")
    assert "--force" in refused(*tables, "--out", out).remedy
    assert out.read_text() == "mine"
    assert init(*tables, "--out", out, "--force").exit_code == 0
    assert load_space(out).name == "shop"


def test_options_that_make_no_sense(tmp_path: Path) -> None:
    shop(tmp_path)
    views, orders = tmp_path / "views.csv", tmp_path / "orders.csv"
    assert "such as my_shop" in refused(views, orders, "--name", "My Shop").remedy
    assert "'Mars' is not a time zone" in refused(views, orders, "--time-zone", "Mars").problem
    assert "cannot be written" in refused(views, orders, "--out", tmp_path / "nowhere" / "shop.yaml").problem


TABLES = {
    "user_id,item_id\nu1,i1\n": "No table has a column of times",
    "user_id,item_id,at\nu1,i1,03/01/2024\n": "No table has a column of times",
    "at,price\n2024-05-01,3\n2024-05-02,4\n": "No table has a user, an item and a time",
    "user_id,item_id,at\nu1,i1,2024-05-01\n": "No table says what users did",
    "user_id,item_id,at,event\nu1,i1,2024-05-01,view\nu1,i1,2024-05-02,click\n": "'event' tells impressions from",
}


@pytest.mark.parametrize("text", TABLES)
def test_tables_that_do_not_say_enough(tmp_path: Path, text: str) -> None:
    (tmp_path / "log.csv").write_text(text)
    error = refused(tmp_path / "log.csv")
    assert TABLES[text] in error.problem
    assert str(tmp_path / "log.csv") in error.place


@pytest.mark.parametrize("names", [("views.csv", "orders.csv"), ("views.jsonl", "orders.tsv")])
def test_what_it_writes_is_ingested_unedited(spark: SparkSession, tmp_path: Path, names: tuple[str, str]) -> None:
    shop(tmp_path)
    views = pd.read_csv(tmp_path / "views.csv", parse_dates=["seen"])
    views = views.rename(columns={"seen": "seen_at"})  # a number is a time if its name says so
    views.to_json(tmp_path / "views.jsonl", orient="records", lines=True, date_format="epoch", date_unit="ms")
    pd.read_csv(tmp_path / "orders.csv").to_csv(tmp_path / "orders.tsv", index=False, sep="\t")
    out, warehouse = tmp_path / "shop.yaml", tmp_path / "warehouse"
    assert init(*(tmp_path / name for name in names), "--out", out).exit_code == 0
    ingested = RUNNER.invoke(application("ingest"), ["ingest", "--space", str(out), "--warehouse", str(warehouse)])
    assert ingested.exception is None
    counts = {}
    for name in ("impressions", "feedback", "events_orders"):
        table = published(str(warehouse / "shop" / name))
        assert table is not None, name
        counts[name] = read(spark, table).count()
    assert counts == {"impressions": 480, "feedback": 120, "events_orders": 120}
