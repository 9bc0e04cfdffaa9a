"""Makes the data of spaces that look nothing like ``video``, and what a build of each must count.

``installs``: minutes and two kinds of clocks; ``ratings``: values in place of events; ``uneven``: domains of six, one
and no features of their own.
"""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

Counts = dict[tuple[str, str], tuple[int, int]]
"""(domain, objective) -> rows of the test day with a label, and how many of those are positive, by pandas."""

_DAYS, _PEOPLE, _ITEMS = 6, 30, 12
_DAY = pd.Timedelta(days=1)


def write_installs(folder: Path, rows: int = 160) -> Counts:
    """Shown ads; a third are tapped at once, some of these installed within an hour and a half."""
    random = np.random.default_rng(1)
    shown = pd.concat([_shown(random, domain, rows, "UTC") for domain in ("banner", "rewarded")], ignore_index=True)
    taps = shown[random.random(len(shown)) < 1 / 3]
    installs = taps.assign(at=taps["at"] + pd.to_timedelta(random.integers(60, 5400, len(taps)), unit="s"))
    for domain, part in shown.groupby("domain"):
        log = pd.DataFrame({"ad": part["key"], "device": part["user"], "app": part["item"], "ts": _epoch(part, 1000)})
        log["country"] = np.where(part.index % 2, "BR", "IN")
        log["slot" if domain == "banner" else "seconds"] = part.index % 4
        log.to_json(folder / f"{domain}.jsonl", orient="records", lines=True)
    names = {"key": "ad", "domain": "placement", "user": "device", "item": "app"}
    taps.assign(ts=_epoch(taps)).rename(columns=names).drop(columns="at").to_csv(folder / "taps.csv.gz", index=False)
    installs.assign(ts=_epoch(installs)).rename(columns=names)[["device", "app", "ts"]].to_csv(
        folder / "installs.csv.gz", index=False
    )
    won = _last_credited(shown, installs, pd.Timedelta(hours=1))
    return _counts(shown, "UTC", {"tap": shown["key"].isin(taps["key"]), "install": shown["key"].isin(won)})


def write_ratings(folder: Path, rows: int = 300) -> Counts:
    """Ratings of one to five stars; everybody likes one genre."""
    random = np.random.default_rng(2)
    shown = _shown(random, "site", rows, "UTC").drop_duplicates(["user", "item", "at"])
    genre = np.array(["comedy", "drama", "noir"])[np.arange(_ITEMS) % 3]
    liked = shown["item"].str[1:].astype(int) % 3 == shown["user"].str[1:].astype(int) % 3
    shown["stars"] = np.where(liked, 4 + random.integers(0, 2, len(shown)), random.integers(1, 5, len(shown)))
    named = {"user": "person", "item": "film", "stars": "stars"}
    table = shown.rename(columns=named).assign(when=_epoch(shown))[["person", "film", "stars", "when"]]
    table.to_csv(folder / "ratings.tsv", index=False, sep="\t")
    films = pd.DataFrame({"film": [f"i{n}" for n in range(_ITEMS)], "genre": genre})
    films.to_parquet(folder / "films.parquet", index=False)
    return _counts(shown, "UTC", {"liked": shown["stars"] >= 4, "loathed": shown["stars"] <= 1})


def write_uneven(folder: Path, rows: int = 120) -> Counts:
    """Rows in folders by day, times without a zone; a quarter of all are bought after up to a day and a half."""
    random = np.random.default_rng(3)
    zone = "America/Sao_Paulo"
    shown = pd.concat([_shown(random, domain, rows, zone) for domain in ("home", "mail", "push")], ignore_index=True)
    own: dict[str, dict[str, Any]] = {
        "home": {"row": 1, "column": 2, "device": "tv", "price": 9.5, "query": "shoes", "discount": 0.1},
        "mail": {"subject": "Sale"},
        "push": {},
    }
    local = shown["at"].dt.tz_convert(zone).dt.tz_localize(None)
    for (domain, day), part in shown.groupby(["domain", local.dt.strftime("%Y-%m-%d")]):
        inner = folder / str(domain) / f"day={day}"
        inner.mkdir(parents=True)
        table = pd.DataFrame(
            {
                "source_key": part["key"],
                "user_id": part["user"],
                "item_id": part["item"],
                "impression_time": local[part.index],
            }
        )
        table.assign(**own[str(domain)]).to_parquet(inner / "part.parquet", index=False, coerce_timestamps="us")
    chosen = shown[random.random(len(shown)) < 0.25]
    bought = chosen.assign(at=chosen["at"] + pd.to_timedelta(random.integers(60, 130_000, len(chosen)), unit="s"))
    opened = shown[(shown["domain"] == "mail") & (random.random(len(shown)) < 0.4)]
    for name, rows_ in (("bought", bought), ("opened", opened)):
        table = rows_.rename(columns={"user": "user_id", "item": "item_id", "key": "source_key"}).assign(
            at=rows_["at"].dt.strftime("%Y-%m-%dT%H:%M:%SZ")
        )
        columns = ["user_id", "item_id", "at", *(["source_key"] if name == "opened" else [])]
        table[columns].to_csv(folder / f"{name}.csv", index=False)
    pairs = shown.merge(bought, on=["user", "item"], suffixes=("", "_bought"))
    waited = pairs["at_bought"] - pairs["at"]
    won = pairs[(waited > pd.Timedelta(0)) & (waited <= _DAY)]["key"]
    counts = _counts(shown, zone, {"buy": shown["key"].isin(won), "open": shown["key"].isin(opened["key"])})
    return {pair: found for pair, found in counts.items() if pair[1] == "buy" or pair[0] == "mail"}


WRITERS: dict[str, Callable[[Path], Counts]] = {
    "installs": write_installs, "ratings": write_ratings, "uneven": write_uneven,
}  # fmt: skip


def write_other(name: str, folder: Path) -> tuple[Path, Counts]:
    """Write a space's tables and its file into a folder; the file, and what the test day must count."""
    counts = WRITERS[name](folder)
    return Path(shutil.copy(Path(__file__).with_name(f"{name}.yaml"), folder)), counts


def _shown(random: np.random.Generator, domain: str, rows: int, zone: str) -> pd.DataFrame:
    start = pd.Timestamp("2024-06-01", tz=zone).tz_convert("UTC")
    seconds = np.sort(random.choice(int(_DAYS * _DAY.total_seconds()), size=rows, replace=False))
    return pd.DataFrame(
        {
            "key": [f"{domain}-{n}" for n in range(rows)],
            "domain": domain,
            "user": [f"u{n}" for n in random.integers(_PEOPLE, size=rows)],
            "item": [f"i{n}" for n in random.integers(_ITEMS, size=rows)],
            "at": start + pd.to_timedelta(seconds, unit="s"),
        }
    )


def _epoch(rows: pd.DataFrame, unit: int = 1) -> "pd.Series[int]":
    return (rows["at"] - pd.Timestamp(0, tz="UTC")) // pd.Timedelta(seconds=1) * unit


def _last_credited(shown: pd.DataFrame, feedback: pd.DataFrame, window: pd.Timedelta) -> "pd.Series[str]":
    """The keys of impressions that are the last of their user, item and domain before some feedback in the window."""
    pairs = shown.merge(feedback[["user", "item", "at"]], on=["user", "item"], suffixes=("", "_of"))
    before = pairs[pairs["at"] < pairs["at_of"]].sort_values("at")
    last = before.groupby(["domain", "user", "item", "at_of"]).tail(1)
    return last[last["at_of"] - last["at"] <= window]["key"]


def _counts(shown: pd.DataFrame, zone: str, positive: dict[str, "pd.Series[bool]"]) -> Counts:
    """Of the test day, 2024-06-05: whatever happens there is observed for long enough."""
    day = shown["at"].dt.tz_convert(zone).dt.strftime("%Y-%m-%d") == "2024-06-05"
    return {
        (domain, objective): (int((day & of).sum()), int((day & of & won).sum()))
        for domain in shown["domain"].unique()
        for of in [shown["domain"] == domain]
        for objective, won in positive.items()
    }
