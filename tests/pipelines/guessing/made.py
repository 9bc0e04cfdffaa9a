"""Small tables of known answers, and the space file that is guessed from files."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pandas as pd

from pipelines.guessing.drafting import draft
from pipelines.guessing.render import render
from pipelines.guessing.samples import read_samples
from schemas.space import ModelSpace
from schemas.space_file import load_space

START = datetime(2024, 5, 1, tzinfo=UTC)
DAYS = 40


def guess(folder: Path, *names: str, zone: str = "UTC") -> tuple[ModelSpace, str]:
    """The space that is guessed from the files of those names, loaded as it was written, and its text."""
    text = render(draft(read_samples([folder / name for name in names]), "guessed", folder, zone))
    path = folder / "guessed.yaml"
    path.write_text(text)
    return load_space(path), text


def app_log(folder: Path) -> None:
    """Banners of apps, one an hour for each of ten devices, and installs 4, 9 or, a tenth, 50 minutes later."""
    shown, installed = list[dict[str, object]](), list[dict[str, object]]()
    for hour in range(24 * DAYS):
        for device in range(10):
            row = {"device_id": f"d{device}", "app_id": f"a{(hour + device) % 7}", "slot": (hour + device) % 3}
            at = START + timedelta(hours=hour, seconds=device)
            shown.append({**row, "served_at": at.isoformat()})
            if (hour * 10 + device) % 4 == 0:
                number = len(installed) % 10
                delay = 50 if number == 9 else (4 if number < 5 else 9)
                later = at + timedelta(minutes=delay)
                installed.append(
                    {"device_id": row["device_id"], "app_id": row["app_id"], "installed_at": later.isoformat()}
                )
    pd.DataFrame(shown).to_csv(folder / "ad_impressions.csv", index=False)
    pd.DataFrame(installed).to_csv(folder / "installs.csv", index=False)


def stars(folder: Path) -> None:
    """Ratings of films from 1 to 5, one an hour, at Unix seconds as Parquet."""
    hours = range(24 * DAYS)
    rows = {
        "userId": [hour % 30 for hour in hours],
        "movieId": [hour % 41 for hour in hours],
        "rating": [1 + hour % 5 for hour in hours],
        "timestamp": [int(START.timestamp()) + 3600 * hour for hour in hours],
    }
    pd.DataFrame(rows).to_parquet(folder / "ratings.parquet", index=False)


def shop(folder: Path) -> None:
    """Twenty days of impressions at local times, and of each fourth an order 1 to 60 hours later."""
    hours = range(24 * 20)
    shown = pd.DataFrame(
        {
            "customer": [f"c{hour % 17}" for hour in hours],
            "product": [f"p{hour % 11}" for hour in hours],
            "seen": pd.date_range("2024-05-01", periods=len(hours), freq="h"),
            "page": [("home", "search", "mail")[hour % 3] for hour in hours],
        }
    )
    bought = shown[shown.index % 4 == 0].drop(columns="page").rename(columns={"seen": "ordered"})
    delays = pd.to_timedelta([1 + number % 60 for number in range(len(bought))], unit="h")
    shown.to_csv(folder / "views.csv", index=False)
    bought.assign(ordered=bought["ordered"] + delays, price=9.5 + bought.index % 7).to_csv(
        folder / "orders.csv", index=False
    )
