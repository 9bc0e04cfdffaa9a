"""KuaiVideo_x1, on a small made sample in exactly the form in which BARS distributes it."""

import random
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import pytest
import xxhash
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from pipelines.concatenation import memory, unified
from pipelines.ingestion import all_feedback, all_impressions
from pipelines.sources import kuaivideo, read_source, source_files
from pipelines.spans import Span
from schemas.errors import LatticeError
from schemas.space import ModelSpace, Source
from schemas.space_file import load_space

COLUMNS = ["timestamp", "user_id", "item_id", "is_click", "is_like", "is_follow", "pos_items", "neg_items"]


def write_sample(folder: Path) -> dict[str, pd.DataFrame]:
    """The two CSV files: each user's lists grow with the rows, and hold their first 100 entries at most."""
    choose = random.Random(2)
    rows: dict[str, list[list[object]]] = {"train": [], "test": []}
    for user in range(4):
        clicked: list[int] = [choose.randrange(500) for _ in range(user * 40)]
        passed: list[int] = []
        moment = 1_000 * user
        for number in range(60):
            item, click = choose.randrange(500), int(choose.random() < 0.6)
            like, follow = int(click and choose.random() < 0.3), int(click and choose.random() < 0.1)
            lists = ["^".join(map(str, items[:100])) for items in (clicked, passed)]
            part = "train" if number < 48 else "test"
            moment += choose.randrange(1, 90_000)
            rows[part].append([moment, user, item, click, like, follow, *lists])
            if number % 20 == 7:
                rows[part].append(rows[part][-1])  # the same row twice
            (clicked if click else passed).append(item)
    found = {}
    for part, values in rows.items():
        found[part] = pd.DataFrame(values, columns=COLUMNS).sort_values("timestamp")
        found[part].to_csv(folder / f"{part}.csv", index=False)
    return found


def space_at(folder: Path) -> ModelSpace:
    return load_space("kuaivideo").model_copy(update={"source": Source(kind="kuaivideo", path=str(folder))})


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> tuple[ModelSpace, dict[str, pd.DataFrame]]:
    folder = tmp_path_factory.mktemp("kuaivideo")
    return space_at(folder), write_sample(folder)


def hashed(item: str) -> int:
    seed = xxhash.xxh64(b"item", seed=42).intdigest()
    return int(np.uint64(xxhash.xxh64(item.encode(), seed=seed).intdigest()).astype(np.int64))


def test_rows_labels_and_sequences_are_those_of_the_files(
    spark: SparkSession, sample: tuple[ModelSpace, dict[str, pd.DataFrame]]
) -> None:
    space, files = sample
    tables = read_source(spark, space, Path())
    impressions = all_impressions(tables.impressions, space)
    feedback = all_feedback(tables.feedback, impressions, space)
    span = Span(None, space.objectives["click"].observed.end)
    known = memory(tables.events, tables.attributes, space, span)
    rows = unified(impressions, known, tables.attributes, space, span)
    found = rows.join(impressions.select("impression_id", "test"), on="impression_id").toPandas()
    assert found["impression_id"].is_unique
    expected = pd.concat([part.assign(test=number) for number, part in enumerate(files.values())])
    assert len(found) == len(expected) == 4 * 63
    order = ["user_id", "impression_time", "test", "impression_id"]
    found = found.sort_values(order, ignore_index=True)
    expected = expected.astype({"user_id": str}).sort_values(["user_id", "timestamp", "test"], ignore_index=True)
    assert (found["user_id"] == expected["user_id"]).all()
    assert (found["item_id"] == expected["item_id"].astype(str)).all()
    # Times keep their order, over 100 days.
    by_time = found.assign(timestamp=expected["timestamp"]).sort_values("timestamp")["impression_time"]
    assert by_time.is_monotonic_increasing
    assert found["impression_time"].min() == pd.Timestamp("1970-01-01")
    assert found["impression_time"].max() > pd.Timestamp("1970-04-10")
    for feature, column in (("clicked", "pos_items"), ("passed", "neg_items")):
        lists = [[int(item) for item in text.split("^") if item] for text in expected[column].fillna("")]
        sequences = [np.frombuffer(packed, "<i8").tolist() for packed in found[f"{feature}_item"]]
        assert sequences == [[hashed(str(item)) for item in reversed(items)] for items in lists]
        assert found[f"{feature}_count_all"].tolist() == [len(items) for items in lists]
        assert max(map(len, lists)) == (100 if feature == "clicked" else max(map(len, lists)))
    for objective in ("click", "like", "follow"):
        answered = feedback.where(F.col("objective") == objective).toPandas()["impression_id"]
        assert answered.is_unique
        labelled = found["impression_id"].isin(answered)
        assert labelled.sum() == expected[f"is_{objective}"].sum() > 0
        # Of two equal rows both have the same labels.
        assert (labelled == (expected[f"is_{objective}"] == 1)).all()


def test_what_the_files_are_not(spark: SparkSession, tmp_path: Path) -> None:
    with pytest.raises(LatticeError, match="no such file"):
        read_source(spark, space_at(tmp_path), Path())
    write_sample(tmp_path)
    assert [Path(file.path).name for file in source_files(space_at(tmp_path), Path())] == ["test.csv", "train.csv"]
    train = pd.read_csv(tmp_path / "train.csv")
    train.assign(timestamp=train["timestamp"] + np.arange(len(train)) * 10**12).to_csv(
        tmp_path / "train.csv", index=False
    )
    with pytest.raises(LatticeError, match="too close"):
        read_source(spark, space_at(tmp_path), Path())
    train.drop(columns="neg_items").to_csv(tmp_path / "train.csv", index=False)
    with pytest.raises(LatticeError, match="neg_items"):
        read_source(spark, space_at(tmp_path), Path())
    with pytest.raises(LatticeError, match="not given"):
        kuaivideo.data_path(space_at(tmp_path).model_copy(update={"source": Source(kind="kuaivideo")}), Path())


def test_what_thumbnails_look_like(spark: SparkSession, tmp_path: Path) -> None:
    write_sample(tmp_path)
    values = np.random.default_rng(1).normal(size=(500, 64)).astype(np.float32)
    with h5py.File(tmp_path / "item_visual_emb_dim64.h5", "w") as file:
        file.create_dataset("key", data=list(range(500)))
        file.create_dataset("value", data=values)
    declared = space_at(tmp_path).model_dump(mode="json", by_alias=True)
    declared["attributes"] = {"visual": {"key": "item_id", "columns": {"visual_0": "double", "visual_63": "double"}}}
    tables = read_source(spark, ModelSpace.model_validate(declared), Path())
    found = tables.attributes["visual"].toPandas().astype({"item_id": int}).set_index("item_id").sort_index()
    assert (found["visual_0"].to_numpy() == values[:, 0].astype(float)).all()
    assert (found["visual_63"].to_numpy() == values[:, 63].astype(float)).all()
    with h5py.File(tmp_path / "item_visual_emb_dim64.h5", "w") as file:
        file.create_dataset("key", data=list(range(500)))
    with pytest.raises(LatticeError, match="item_visual_emb"):
        read_source(spark, ModelSpace.model_validate(declared), Path())
