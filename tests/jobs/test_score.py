"""Scores by Spark: what ``lattice evaluate`` predicts, row for row; and requests have the features of the build."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from chispa import assert_df_equality
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from jobs.export import exported
from jobs.models import PREDICTIONS, find_model
from jobs.score import publish_scores, scorer
from jobs.target import Target
from lattice_model.export.archive import read
from pipelines.requests import read_requests, request_features
from pipelines.serving import scores, servable
from pipelines.tables import published
from pipelines.tables import read as read_table
from schemas.errors import LatticeError
from tests.jobs.test_end_to_end import Video, lattice

KEY = ["impression_id", "objective"]


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Video:
    made = Video(tmp_path_factory.mktemp("video"))
    for command in ("build", "train", "evaluate"):
        ran = lattice(command, *made.options)
        assert ran.returncode == 0, ran.stderr
    return made


@pytest.fixture(scope="module")
def target(video: Video) -> Target:
    return Target.parse(str(video.space), str(video.warehouse), "all")


@pytest.fixture(scope="module")
def model(target: Target) -> Path:
    return find_model(target, "test", None)


def rows(spark: SparkSession, uri: str) -> DataFrame:
    found = published(uri)
    assert found is not None, uri
    return read_table(spark, found)


def features(spark: SparkSession, target: Target, path: Path) -> DataFrame:
    requests = read_requests(spark, str(path), target.space, target.group)
    events = {name: rows(spark, uri) for name, uri in target.event_tables.items()}
    attributes = {name: rows(spark, uri) for name, uri in target.attribute_tables.items()}
    return request_features(requests, events, attributes, target.space, target.group)


def as_requests(spark: SparkSession, target: Target) -> DataFrame:
    """Every tenth impression, as a request that someone writes down: times as text, empty where a domain lacks it."""
    impressions = rows(spark, target.space_table("impressions"))
    some = impressions.where(F.pmod(F.xxhash64("impression_id"), F.lit(10)) == 0)
    return some.select(
        "domain", "source_key", "user_id", "item_id", "position", "device", "rank", "genre_asked",
        F.date_format("impression_time", "yyyy-MM-dd'T'HH:mm:ss.SSSSSS'Z'").alias("impression_time"),
    )  # fmt: skip


def write_csv(frame: DataFrame, path: Path) -> Path:
    frame.select(*(F.col(name).cast("string") for name in frame.columns)).toPandas().to_csv(path, index=False)
    return path


def test_the_table_of_scores_is_what_evaluate_predicted(video: Video, target: Target, model: Path) -> None:
    """By the commands, with the exported model; in float32 with one thread, against the network with all threads."""
    export = lattice("export", *video.options, "--json")
    assert export.returncode == 0, export.stderr
    ran = lattice("score", *video.options, "--export", model / "export", "--json")
    assert ran.returncode == 0, ran.stderr
    said = json.loads(ran.stdout)
    found = video.table("scores").to_pandas()
    assert said["rows"] == len(found)
    assert set(found["model"]) == {said["model"]} == {model.name} == {json.loads(export.stdout)["model"]}
    predicted = pd.read_parquet(model / PREDICTIONS)
    both = predicted.merge(found, on=[*KEY, "domain", "user_id", "window"], how="left", validate="one_to_one")
    assert len(predicted) == len(both) > 1000
    np.testing.assert_allclose(both["probability"], both["prediction"], rtol=1e-5, atol=1e-7)
    # Labels say nothing about which rows are scored: all of both splits.
    impressions = video.table("evaluation").to_pandas(columns=["impression_id"])
    assert len(found) == 2 * len(impressions)


def test_scores_do_not_depend_on_the_partitions(spark: SparkSession, target: Target, model: Path) -> None:
    export = exported(model)
    work = scorer(spark, export)
    some = rows(spark, target.group_table("unified")).limit(2500).cache()
    one, many = (
        scores(some.repartition(count, "item_id"), export.layout, work).toPandas().sort_values(KEY) for count in (1, 7)
    )
    assert len(one) == 5000
    assert (one["probability"].to_numpy() == many["probability"].to_numpy()).all()
    some.unpersist()


def test_requests_have_the_features_and_scores_of_the_build(
    spark: SparkSession, target: Target, model: Path, tmp_path: Path
) -> None:
    """No skew: bit for bit what ``unified`` holds of the same impressions, sequences and all."""
    asked = as_requests(spark, target)
    made = features(spark, target, write_csv(asked, tmp_path / "requests.csv"))
    unified = rows(spark, target.group_table("unified"))
    built = unified.join(made.select("impression_id"), on="impression_id", how="left_semi").drop("window")
    assert asked.count() == made.count() > 500
    assert_df_equality(
        made, built, ignore_row_order=True, ignore_column_order=True, ignore_nullable=True, allow_nan_equality=True
    )
    export = exported(model)
    work = scorer(spark, export)
    ours, theirs = (scores(part, export.layout, work).toPandas().sort_values(KEY) for part in (made, built))
    assert len(ours) == 2 * asked.count()
    pd.testing.assert_frame_equal(ours.reset_index(drop=True), theirs.reset_index(drop=True), check_exact=True)


def test_training_rows_hold_the_same_features(spark: SparkSession, target: Target, model: Path, tmp_path: Path) -> None:
    """What the loader reads in training is what a request is scored by."""
    layout = exported(model).layout
    evaluation = rows(spark, target.group_table("evaluation"))
    made = features(spark, target, write_csv(as_requests(spark, target), tmp_path / "requests.csv"))
    both = made.join(evaluation.select("impression_id"), on="impression_id", how="left_semi")
    read_in_training = evaluation.join(made.select("impression_id"), on="impression_id", how="left_semi")
    assert both.count() > 50
    assert_df_equality(
        servable(both, layout), servable(read_in_training, layout), ignore_row_order=True, ignore_nullable=True
    )


def test_strangers_are_scored_by_the_command(video: Video, tmp_path: Path) -> None:
    """A user and an item that nobody has seen, and none at all."""
    path = tmp_path / "requests.csv"
    path.write_text(
        "domain,user_id,item_id,impression_time,position,device,rank,genre_asked\n"
        "feed,stranger,c1,2024-04-20T10:00:00Z,1,phone,,\n"
        "search,v1,unheard,2024-04-20 12:00:00,,,3,news\n"
        "feed,,,2024-04-20T10:00:00Z,,,,\n"
    )
    # Clicks are matched by the impression's key, yet a request has no click that it would need one for.
    ran = lattice("score", *video.options, "--requests", path, "--out", tmp_path / "scores", "--json")
    assert ran.returncode == 0, ran.stderr
    said = json.loads(ran.stdout)
    assert said["rows"] == 6
    assert all(0 < part["mean"] < 1 for part in said["portfolios"])
    assert said["table"] == str(tmp_path / "scores")


HEADER = "domain,user_id,item_id,impression_time,position,device,rank,genre_asked\n"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (HEADER + "shop,v1,c1,2024-04-20T10:00:00Z,1,tv,,\n", "1 requests name the domain 'shop'"),
        (HEADER + ",v1,c1,2024-04-20T10:00:00Z,1,tv,,\n", "name no domain"),
        (HEADER + "feed,v1,c1,tomorrow,1,tv,,\n", "'impression_time' is declared timestamp"),
        (HEADER + "feed,v1,c1,,1,tv,,\n", "'impression_time' is empty in 1 of 1 rows"),
        (HEADER + "feed,v1,c1,2024-04-20T10:00:00Z,first,tv,,\n", "'position' is declared long"),
        ("domain,user_id,impression_time\nfeed,v1,2024-04-20T10:00:00Z\n", "'item_id' is missing"),
        ("domain,user_id,item_id,impression_time,position\nfeed,v,c,2024-04-20T10:00:00Z,1\n", "'device' is missing"),
        (HEADER, "The table is empty"),
    ],
)
def test_bad_requests(spark: SparkSession, target: Target, tmp_path: Path, text: str, says: str) -> None:
    path = tmp_path / "requests.csv"
    path.write_text(text)
    with pytest.raises(LatticeError, match=says):
        read_requests(spark, str(path), target.space, target.group)


def test_a_file_of_another_kind(spark: SparkSession, target: Target, tmp_path: Path) -> None:
    with pytest.raises(LatticeError, match=r"in none of \.csv"):
        read_requests(spark, str(tmp_path / "requests.txt"), target.space, target.group)
    with pytest.raises(LatticeError, match="no such file"):
        read_requests(spark, str(tmp_path / "requests.csv"), target.space, target.group)


def test_the_same_request_twice_is_not_published(
    spark: SparkSession, target: Target, model: Path, tmp_path: Path
) -> None:
    path = tmp_path / "requests.csv"
    path.write_text(HEADER + "feed,v1,c1,2024-04-20T10:00:00Z,1,tv,,\n" * 2)
    with pytest.raises(LatticeError, match="impression_id with objective is there more than once in 4 of 4 rows"):
        publish_scores(spark, features(spark, target, path), exported(model), str(tmp_path / "scores"), "")
    assert published(str(tmp_path / "scores")) is None


def test_a_table_without_a_feature(spark: SparkSession, target: Target, model: Path) -> None:
    export = exported(model)
    unified = rows(spark, target.group_table("unified"))
    with pytest.raises(LatticeError, match="'device' is missing"):
        scores(unified.drop("device"), export.layout, scorer(spark, export))
    with pytest.raises(LatticeError, match="'device' holds string; bigint"):
        scores(unified.withColumn("device", F.lit("tv")), export.layout, scorer(spark, export))


def test_a_model_of_another_space(video: Video, model: Path, tmp_path: Path) -> None:
    ran = lattice("score", "--warehouse", tmp_path, "--export", model / "export")
    assert ran.returncode == 2
    assert "It was made for video/all, not for complete_journey/all." in ran.stderr


def test_reading_an_export_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(LatticeError, match="no exported model"):
        read(tmp_path)
