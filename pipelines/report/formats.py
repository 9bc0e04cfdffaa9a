"""Numbers and moments as the report writes them; a value that does not exist is a dash."""

import math
from datetime import UTC, datetime

MISSING = "\N{EN DASH}"


def count(value: int | None) -> str:
    """1234567 -> ``1,234,567``."""
    return MISSING if value is None else f"{value:,}"


def compact(value: int) -> str:
    """Three significant digits: 1234567 -> ``1.23 M``."""
    # A number that would round up to 1000 of a unit is written in the next one.
    for size, unit in ((10**9, " G"), (10**6, " M"), (10**3, " k")):
        if value >= size * 0.9995:
            return _digits(value / size) + unit
    return str(value)


def percent(value: float | None) -> str:
    """Three significant digits: 0.0370 -> ``3.70%``."""
    if value is None:
        return MISSING
    return "0%" if value == 0 else f"{_digits(value * 100)}%"


def metric(value: float | None) -> str:
    """Four decimals: 0.85662 -> ``0.8566``."""
    return MISSING if value is None else f"{value:.4f}"


def ratio(value: float | None) -> str:
    """Three decimals: 1.02 -> ``1.020``."""
    return MISSING if value is None else f"{value:.3f}"


def share(part: int, whole: int) -> float | None:
    """part / whole; None over nothing."""
    return part / whole if whole else None


def seconds(value: float) -> str:
    """75.2 -> ``1 min 15 s``."""
    whole = round(value)
    if whole < 60:
        return f"{value:.1f} s"
    hours, minutes = divmod(whole // 60, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {whole % 60} s"


def moment(value: datetime) -> str:
    """In UTC, to the minute."""
    return f"{value.astimezone(UTC):%Y-%m-%d %H:%M} UTC"


def day(value: datetime) -> str:
    """The day in UTC."""
    return f"{value.astimezone(UTC):%Y-%m-%d}"


def _digits(value: float) -> str:
    """Three significant digits of a positive number, never in scientific notation."""
    rounded = float(f"{value:.3g}")
    decimals = max(0, 2 - math.floor(math.log10(rounded)))
    return f"{rounded:,.{decimals}f}"
