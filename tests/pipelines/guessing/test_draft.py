"""Whole drafts of small data sets: what is right is known, and every file loads as it was written."""

import subprocess
import sys
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pandas as pd
import pytest
from deltalake import write_deltalake

from schemas.space import ModelSpace
from schemas.space_file import load_space
from tests.pipelines.guessing.made import START, app_log, guess, shop, stars
from tests.spaces.video import write_video

VIDEO = ("feed.csv", "search", "clicks", "subscriptions.csv", "plays.parquet", "viewers.csv", "clips.csv")


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> tuple[ModelSpace, ModelSpace]:
    """As it was declared by hand, and as it is guessed."""
    folder = tmp_path_factory.mktemp("video")
    declared = load_space(write_video(folder, seed=3))
    return declared, guess(folder, *VIDEO, zone="Europe/Berlin")[0]


def test_tables_of_the_video_space_are_found_and_mapped(video: tuple[ModelSpace, ModelSpace]) -> None:
    declared, guessed = video
    assert guessed.domains.keys() == declared.domains.keys()
    for name, domain in declared.domains.items():
        assert guessed.domains[name].columns == domain.columns
        assert guessed.domains[name].impressions == domain.impressions
    assert guessed.objectives["click"].feedback == declared.objectives["click"].feedback
    assert guessed.objectives["subscription"].feedback == declared.objectives["subscribe"].feedback
    assert guessed.events["plays"] == declared.events["plays"]
    for name, theirs in (("viewers", "viewer"), ("clips", "clip")):
        assert guessed.attributes[name] == declared.attributes[theirs]


def test_clicks_name_their_impression_and_subscriptions_take_hours(video: tuple[ModelSpace, ModelSpace]) -> None:
    _, guessed = video
    click, subscription = guessed.objectives["click"], guessed.objectives["subscription"]
    assert click.domains == subscription.domains == ("feed", "search")
    assert (click.match, click.windows) == ("impression", ())
    # Delays are exponential with a mean of six hours: 4.2 h is the median, 9.7 h and 18 h are at 80 % and 95 %.
    assert subscription.match == "user_item"
    assert subscription.windows == (timedelta(hours=6), timedelta(hours=12), timedelta(days=1))
    features = guessed.features
    assert {"viewer", "clip", "device", "genre", "genre_asked", "country", "hour"} <= features.categorical.keys()
    assert features.dense.keys() == {"position", "rank", "length"}
    assert features.dense["rank"].domains == ("search",)


def test_splits_are_the_last_days_whose_labels_are_complete(video: tuple[ModelSpace, ModelSpace]) -> None:
    _, guessed = video
    # The last subscription is of 14 April; with a window of a day 12 April is the last day that is complete.
    # Of the 26 days until then an eighth is three; a day, the longest window, lies between the two.
    assert (guessed.splits.test.start, guessed.splits.test.end) == (date(2024, 4, 10), date(2024, 4, 12))
    assert (guessed.splits.validation.start, guessed.splits.validation.end) == (date(2024, 4, 6), date(2024, 4, 8))


def test_an_install_log_gets_windows_of_minutes(tmp_path: Path) -> None:
    app_log(tmp_path)
    space, text = guess(tmp_path, "ad_impressions.csv", "installs.csv")
    install = space.objectives["install"]
    # Of ten delays five are 4 minutes, four 9 and one 50: 6.5, 9 and 50 minutes at half, 80 % and 95 %.
    assert install.windows == (timedelta(minutes=10), timedelta(hours=1))
    assert "half came within 6.5 minutes" in text
    # Device 0's first banner is answered after 4 minutes; the last of all, that of device 6 in the last hour, after 50.
    assert install.observed.start == datetime(2024, 5, 1, 0, 4, tzinfo=UTC)
    assert install.observed.end == datetime(2024, 6, 9, 23, 50, 7, tzinfo=UTC)
    assert space.features.categorical["slot"].id_space == "slot"
    assert space.id_spaces == {"device": 32, "app": 32, "slot": 32, "calendar": 64}


def test_stars_are_an_answer_in_the_impressions_rows(tmp_path: Path) -> None:
    stars(tmp_path)
    space, text = guess(tmp_path, "ratings.parquet")
    ratings = space.domains["ratings"]
    assert ratings.columns == {}  # the rating is no feature of itself
    assert space.objectives["rating"].match == "impression"
    assert "question: 4 of at most 5 is a guess" in text
    command = next(line.removeprefix("  #   ") for line in text.splitlines() if "python -c" in line)
    subprocess.run(command.replace("python", sys.executable, 1), shell=True, check=True, cwd=tmp_path)
    assert ratings.impressions is not None
    feedback = space.objectives["rating"].feedback
    assert feedback is not None
    shown = pd.read_parquet(tmp_path / ratings.impressions.path)
    good = pd.read_parquet(tmp_path / feedback.path)
    assert shown["source_key"].is_unique
    assert len(shown) == 960
    assert sorted(good["source_key"]) == [row for row in range(960) if 1 + row % 5 >= 4]


def test_stars_beside_impressions_are_feedback_with_a_value(tmp_path: Path) -> None:
    stars(tmp_path)
    rows = pd.read_parquet(tmp_path / "ratings.parquet")
    rows.assign(timestamp=rows["timestamp"] - 600).drop(columns="rating").to_parquet(tmp_path / "shown.parquet")
    space, text = guess(tmp_path, "ratings.parquet", "shown.parquet")
    feedback = space.objectives["rating"].feedback
    assert feedback is not None
    assert feedback.columns["value"] == "rating"
    assert "whatever its rating" in text
    assert space.objectives["rating"].windows == (timedelta(minutes=10),)


def test_a_label_column_with_a_key_needs_one_table_more(tmp_path: Path) -> None:
    hours = range(24 * 20)
    rows = {
        "request_id": [f"r{hour}" for hour in hours],
        "uid": [f"u{hour % 9}" for hour in hours],
        "ad_id": [hour % 5 for hour in hours],
        "ts": pd.date_range("2024-05-01", periods=len(hours), freq="h", tz="UTC"),
        "clicked": [int(hour % 6 == 0) for hour in hours],
        "is_mobile": [hour % 2 for hour in hours],
    }
    pd.DataFrame(rows).to_csv(tmp_path / "log.csv", index=False)
    space, text = guess(tmp_path, "log.csv")
    domain = space.domains["log"]
    assert domain.impressions is not None
    assert (domain.impressions.path, domain.columns) == ("log.csv", {"is_mobile": "long"})
    command = next(line.removeprefix("  #   ") for line in text.splitlines() if "python -c" in line)
    subprocess.run(command.replace("python", sys.executable, 1), shell=True, check=True, cwd=tmp_path)
    feedback = space.objectives["clicked"].feedback
    assert feedback is not None
    assert feedback.columns["source_key"] == domain.impressions.columns["source_key"] == "request_id"
    assert list(pd.read_csv(tmp_path / feedback.path)["request_id"]) == [f"r{hour}" for hour in hours if hour % 6 == 0]


def test_labels_of_one_name_on_two_surfaces_are_two_objectives(tmp_path: Path) -> None:
    rows = {"user": ["u1", "u2"] * 30, "item": ["i1", "i2", "i3"] * 20, "clicked": [0, 1] * 30}
    for name in ("feed", "search"):
        times = pd.date_range("2024-05-01", periods=60, freq="6h", tz="UTC")
        pd.DataFrame({**rows, "at": times, "id": range(60)}).to_csv(tmp_path / f"{name}.csv", index=False)
    space, _ = guess(tmp_path, "feed.csv", "search.csv")
    assert [(name, one.domains) for name, one in space.objectives.items()] == [
        ("clicked", ("feed",)),
        ("search_clicked", ("search",)),
    ]


def test_delta_and_partitioned_parquet_are_read_with_their_partitions(tmp_path: Path) -> None:
    shop(tmp_path)
    views = pd.read_csv(tmp_path / "views.csv", parse_dates=["seen"])
    views.to_parquet(tmp_path / "shown", partition_cols=["page"], coerce_timestamps="us")
    orders = pd.read_csv(tmp_path / "orders.csv", parse_dates=["ordered"]).assign(channel="web")
    orders.loc[::2, "channel"] = "app"
    write_deltalake(str(tmp_path / "orders"), orders, partition_by=["channel"])
    plain, _ = guess(tmp_path, "views.csv", "orders.csv")
    space, _ = guess(tmp_path, "shown", "orders")
    assert space.domains["shown"].columns == plain.domains["views"].columns == {"page": "string"}
    assert space.objectives["order"].windows == plain.objectives["order"].windows
    formats = [t.format for t in (space.domains["shown"].impressions, space.objectives["order"].feedback) if t]
    assert formats == ["parquet", "delta"]


def test_the_zone_moves_the_ranges_of_local_times(tmp_path: Path) -> None:
    shop(tmp_path)
    utc, text = guess(tmp_path, "views.csv", "orders.csv")
    berlin, _ = guess(tmp_path, "views.csv", "orders.csv", zone="Europe/Berlin")
    assert "of which zone are ordered, seen" in text
    assert utc.objectives["order"].observed.start == datetime(2024, 5, 1, 1, tzinfo=UTC)
    assert berlin.objectives["order"].observed.start == datetime(2024, 4, 30, 23, tzinfo=UTC)
    assert berlin.splits == utc.splits


def test_the_same_tables_give_the_same_text(tmp_path: Path) -> None:
    shop(tmp_path)
    assert guess(tmp_path, "views.csv", "orders.csv")[1] == guess(tmp_path, "views.csv", "orders.csv")[1]


def test_a_table_that_cannot_be_used_is_left_out_and_said(tmp_path: Path) -> None:
    shop(tmp_path)
    (tmp_path / "weather.csv").write_text("city,degrees\nBerlin,20\nParis,21\n")
    space, text = guess(tmp_path, "views.csv", "orders.csv", "weather.csv")
    assert "# left out: weather, because it has neither a time nor a unique key" in text
    assert not space.attributes


def test_names_without_a_hint_are_told_apart_by_their_values(tmp_path: Path) -> None:
    shop(tmp_path)
    names = {"customer": "a", "product": "b", "seen": "c", "ordered": "c", "page": "d", "price": "e"}
    for old, new in (("views", "first"), ("orders", "second")):
        pd.read_csv(tmp_path / f"{old}.csv").rename(columns=names).to_csv(tmp_path / f"{new}.csv", index=False)
    space, text = guess(tmp_path, "second.csv", "first.csv")
    shown = space.domains["first"].impressions
    assert shown is not None
    assert shown.columns == {"user_id": "a", "item_id": "b", "impression_time": "c"}
    assert text.count("question: is a the user?") == 2
    assert list(space.objectives) == ["second"]


@pytest.mark.parametrize(
    ("scale", "epoch", "said"),
    [
        (1, "s", "guessed: timestamp counts seconds since 1970: its first is 2024-05-01 00:00 UTC."),
        (1_000, "ms", "guessed: timestamp counts milliseconds since 1970: its first is 2024-05-01 00:00 UTC."),
        (1_000_000, "us", "guessed: timestamp counts microseconds since 1970: its first is 2024-05-01 00:00 UTC."),
    ],
)
@pytest.mark.parametrize("form", ["csv", "parquet"])
def test_numbers_that_are_times_say_in_which_unit(tmp_path: Path, form: str, scale: int, epoch: str, said: str) -> None:
    stars(tmp_path)
    rows = pd.read_parquet(tmp_path / "ratings.parquet")
    rows = rows.assign(timestamp=rows["timestamp"] * scale)
    rows.to_csv(tmp_path / "ratings.csv", index=False)
    rows.to_parquet(tmp_path / "ratings.parquet", index=False)
    space, text = guess(tmp_path, f"ratings.{form}")
    assert said in " ".join(line.strip(" #") for line in text.splitlines())
    shown = space.domains["ratings"].impressions
    assert shown is not None
    assert shown.epoch == epoch
    assert {objective.feedback.epoch for objective in space.objectives.values() if objective.feedback} == {epoch}


def test_times_that_the_source_cannot_take_are_warned_of(tmp_path: Path) -> None:
    stars(tmp_path)
    rows = pd.read_parquet(tmp_path / "ratings.parquet")
    rows.assign(timestamp=rows["timestamp"] * 10**9).to_parquet(tmp_path / "ratings.parquet", index=False)
    _, text = guess(tmp_path, "ratings.parquet")
    assert "warning: timestamp counts nanoseconds since 1970" in text


def test_text_that_counts_from_some_day_is_warned_of(tmp_path: Path) -> None:
    stars(tmp_path)
    rows = pd.read_parquet(tmp_path / "ratings.parquet")
    rows = rows.assign(timestamp=rows["timestamp"] - int(START.timestamp()))
    rows.to_csv(tmp_path / "ratings.csv", index=False)
    _, text = guess(tmp_path, "ratings.csv")
    assert "warning: timestamp counts seconds from some day 0" in text


def test_tables_of_json_lines_and_of_tabs(tmp_path: Path) -> None:
    shop(tmp_path)
    pd.read_csv(tmp_path / "views.csv").to_json(tmp_path / "views.jsonl", orient="records", lines=True)
    pd.read_csv(tmp_path / "orders.csv").to_csv(tmp_path / "orders.tsv", index=False, sep="\t")
    space, _ = guess(tmp_path, "views.jsonl", "orders.tsv")
    shown, answered = space.domains["views"].impressions, space.objectives["order"].feedback
    assert shown is not None and answered is not None
    assert (shown.path, shown.format) == ("views.jsonl", "json")
    assert (answered.path, answered.format, answered.separator) == ("orders.tsv", "csv", "\t")
    plain, _ = guess(tmp_path, "views.csv", "orders.csv")
    assert space.objectives["order"].windows == plain.objectives["order"].windows
    assert space.features == plain.features
