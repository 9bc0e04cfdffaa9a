"""Makes the data of ``video.yaml``: viewers with a favourite genre, which they play and subscribe to most."""

import shutil
from pathlib import Path

import numpy as np
import pandas as pd
from deltalake import write_deltalake

_ZONE = "Europe/Berlin"
_FIRST_DAY, _DAYS = "2024-03-18", 28  # clocks go forward on 2024-03-31
_GENRES = np.array(["news", "music", "sport", "film"])
_CLIPS = 60


def write_video(folder: Path, seed: int, users: int = 60, shown_a_day: int = 5) -> Path:
    """Write the tables, and the space file that reads them, into ``folder``; returns the space file's path.

    Each viewer sees ``shown_a_day`` clips a day in the feed and as many in search. The same arguments give the same
    tables: feed, subscriptions, viewers and clips as CSV, search and plays as Parquet, clicks as Delta.
    """
    tables = video_tables(seed, users, shown_a_day)
    for name in ("feed", "subscriptions", "viewers", "clips"):
        tables[name].to_csv(folder / f"{name}.csv", index=False)
    halves = np.array_split(np.arange(len(tables["search"])), 2)
    (folder / "search").mkdir()
    for part, rows in enumerate(halves):
        _to_parquet(tables["search"].iloc[rows], folder / "search" / f"part-{part}.parquet")
    _to_parquet(tables["plays"], folder / "plays.parquet")
    write_deltalake(str(folder / "clicks"), tables["clicks"])
    return Path(shutil.copy(Path(__file__).with_suffix(".yaml"), folder / "video.yaml"))


def video_tables(seed: int, users: int, shown_a_day: int) -> dict[str, pd.DataFrame]:
    """The tables as the files hold them, with the files' own column names."""
    random = np.random.default_rng(seed)
    genres = _GENRES[np.arange(_CLIPS) % len(_GENRES)]
    favourites = _GENRES[random.integers(len(_GENRES), size=users)]
    shown = pd.concat([_shown(random, domain, users, shown_a_day) for domain in ("feed", "search")], ignore_index=True)
    liked = genres[shown["clip"]] == favourites[shown["viewer"]]

    clicked = random.random(len(shown)) < np.where(liked, 0.5, 0.1)
    clicks = shown[clicked].assign(clicked_at=lambda rows: rows["at"] + pd.Timedelta(seconds=20))
    subscribed = random.random(len(shown)) < np.where(liked, 0.3, 0.03)
    delays = pd.to_timedelta(np.ceil(random.exponential(6 * 3600, len(shown))), unit="s")
    subscriptions = shown[subscribed].assign(subscribed_at=(shown["at"] + delays)[subscribed]).sort_values("at")
    # What happens after the last day was not recorded.
    subscriptions = subscriptions[subscriptions["subscribed_at"] < _end()].assign(price=4.5)
    plays = clicks.rename(columns={"clicked_at": "played_at"}).assign(
        seconds=np.round(random.exponential(90, len(clicks)), 1)
    )

    def named(rows: pd.DataFrame, *columns: str) -> pd.DataFrame:
        ids = {"viewer": "v" + rows["viewer"].astype(str), "clip": "c" + rows["clip"].astype(str)}
        return rows.assign(**ids)[list(columns)].reset_index(drop=True)

    feed, search = shown[shown["domain"] == "feed"], shown[shown["domain"] == "search"]
    local = feed["at"].dt.tz_convert(_ZONE).dt.strftime("%Y-%m-%d %H:%M:%S")
    devices = np.array(["phone", "tv"])[random.integers(2, size=len(feed))]
    asked = np.where(random.random(len(search)) < 0.7, genres[search["clip"]], "anything")
    return {
        "feed": named(
            feed.assign(shown_at=local, device=devices, position=random.integers(1, 20, len(feed))),
            "id", "viewer", "clip", "shown_at", "position", "device",
        ),
        "search": named(
            search.assign(
                source_key=search["id"],
                shown_at=search["at"],
                rank=random.integers(1, 10, len(search)),
                genre_asked=asked,
            ),
            "source_key", "viewer", "clip", "shown_at", "rank", "genre_asked",
        ),
        "clicks": named(
            clicks.assign(impression=clicks["id"], surface=clicks["domain"]),
            "viewer", "clip", "clicked_at", "impression", "surface",
        ),
        "subscriptions": named(subscriptions, "viewer", "clip", "subscribed_at", "price"),
        "plays": named(plays, "viewer", "clip", "played_at", "seconds"),
        "viewers": pd.DataFrame(
            {"id": [f"v{n}" for n in range(users)], "country": np.where(np.arange(users) % 3 == 0, "DE", "FR")}
        ),
        "clips": pd.DataFrame(
            {"id": [f"c{n}" for n in range(_CLIPS)], "genre": genres, "length": 30.0 + np.arange(_CLIPS)}
        ),
    }  # fmt: skip


def _shown(random: np.random.Generator, domain: str, users: int, shown_a_day: int) -> pd.DataFrame:
    """One row an impression of ``domain``: its id, viewer and clip by number, and its time in UTC."""
    rows = users * _DAYS * shown_a_day
    seconds = np.sort(random.integers(0, int((_end() - _start()).total_seconds()), size=rows))
    return pd.DataFrame(
        {
            "id": [f"{domain}-{n}" for n in range(rows)],
            "domain": domain,
            "viewer": random.integers(users, size=rows),
            "clip": random.integers(_CLIPS, size=rows),
            "at": _start() + pd.to_timedelta(seconds, unit="s"),
        }
    )


def _start() -> pd.Timestamp:
    return pd.Timestamp(_FIRST_DAY, tz=_ZONE).tz_convert("UTC")


def _end() -> pd.Timestamp:
    return pd.Timestamp(pd.Timestamp(_FIRST_DAY) + pd.Timedelta(days=_DAYS), tz=_ZONE).tz_convert("UTC")


def _to_parquet(table: pd.DataFrame, path: Path) -> None:
    table.to_parquet(path, index=False, coerce_timestamps="us")
