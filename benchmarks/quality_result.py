"""What the quality benchmark found: as JSON, as a table in the terminal and as a page."""

import os
import platform
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

from rich.box import SIMPLE_HEAD
from rich.table import Column, Table

from benchmarks.results import Result
from benchmarks.trees import Fitted
from lattice_model.evaluation.results import Comparison, Interval, PortfolioMetrics
from schemas.manifest import PinnedTable

COLUMNS = (
    "portfolio", "rows", "positives", "AUC Lattice", "AUC zipped", "AUC closed", "AUC - zipped", "AUC - closed",
    "NE Lattice", "NE zipped", "NE closed", "NE - zipped", "NE - closed",
)  # fmt: skip
AUC, NE = (0, 1, 2, 3, 4, 5, 6, 7), (0, 1, 2, 8, 9, 10, 11, 12)
"""Positions of the columns that show one metric."""
_LIBRARIES = ("lightgbm", "numpy", "pyspark", "torch", "torchrec")


class Machine(Result):
    """Where it ran."""

    processor: str
    cores: int
    memory_gib: float
    python: str
    libraries: dict[str, str]

    def __str__(self) -> str:
        libraries = ", ".join(f"{name} {version}" for name, version in self.libraries.items())
        return f"{self.processor}, {self.cores} cores, {self.memory_gib} GiB; Python {self.python}, {libraries}."

    @classmethod
    def here(cls) -> "Machine":
        cpuinfo = Path("/proc/cpuinfo")
        lines = cpuinfo.read_text(encoding="utf-8").splitlines() if cpuinfo.is_file() else []
        names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
        return cls(
            processor=names[0] if names else platform.processor(),
            cores=len(os.sched_getaffinity(0)),
            memory_gib=round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
            python=platform.python_version(),
            libraries={name: version(name) for name in _LIBRARIES},
        )


class QualityResult(Result):
    """Lattice beside LightGBM trained on the zipped rows of the oracle window, and on all whose window had closed."""

    space: str
    group: str
    model: str
    fingerprint: str
    tables: dict[str, PinnedTable]
    left_out: tuple[str, ...]
    zipped: Comparison
    closed: Comparison
    fitted_zipped: tuple[Fitted, ...]
    fitted_closed: tuple[Fitted, ...]
    settings: dict[str, str | int | float | bool]
    seconds: dict[str, float]
    peak_gib: float
    command: str
    machine: Machine

    def write(self, path: Path) -> None:
        path.write_text(self.model_dump_json(indent=2) + "\n", encoding="utf-8")

    def rows(self) -> Iterator[tuple[str, ...]]:
        """The cells of the table: a row a portfolio, then the means."""
        counted = []
        for zipped, closed in zip(self.zipped.portfolios, self.closed.portfolios, strict=True):
            ours, models = zipped.first, (zipped.first, zipped.second, closed.second)
            counted += [models] if ours.in_mean else []
            yield (
                _label(ours), f"{ours.rows:,}", f"{ours.positives:,}",
                *(_number(model.auc) for model in models), _difference(zipped.auc), _difference(closed.auc),
                *(_number(model.normalized_entropy) for model in models),
                _difference(zipped.normalized_entropy), _difference(closed.normalized_entropy),
            )  # fmt: skip
        if counted:
            each = list(zip(*counted, strict=True))
            yield (
                f"mean of {len(counted)}", "", "",
                *(_mean([m.auc for m in models]) for models in each),
                _difference(self.zipped.mean_auc), _difference(self.closed.mean_auc),
                *(_mean([m.normalized_entropy for m in models]) for models in each),
                _difference(self.zipped.mean_normalized_entropy), _difference(self.closed.mean_normalized_entropy),
            )  # fmt: skip

    def tables_of_metrics(self) -> Iterator[Table]:
        """One of the AUC, one of the normalized entropy: a terminal is too narrow for both side by side."""
        for metric, shown in zip(("AUC", "NE"), (AUC, NE), strict=True):
            header = (Column(COLUMNS[i], overflow="fold", min_width=9 if "-" in COLUMNS[i] else None) for i in shown)
            table = Table(
                *header,
                box=SIMPLE_HEAD,
                padding=0,
                show_edge=False,
                title=f"{metric} of Lattice {self.model} and of LightGBM on the test range",
            )
            for row in self.rows():
                table.add_row(*(row[i] for i in shown))
            table.caption = "* not in the mean. Differences: Lattice minus LightGBM, 95 % interval by users."
            yield table


def _label(part: PortfolioMetrics) -> str:
    return "/".join(filter(None, (part.domain, part.objective, part.window))) + ("" if part.in_mean else " *")


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.4f}"


def _mean(values: list[float | None]) -> str:
    known = [value for value in values if value is not None]
    return f"{sum(known) / len(known):.4f}" if known else ""


def _difference(found: Interval) -> str:
    if found.estimate is None or found.low is None or found.high is None:
        return ""
    return f"{found.estimate:+.4f} [{found.low:+.4f}, {found.high:+.4f}]"
