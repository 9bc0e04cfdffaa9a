"""The page of the quality benchmark, in Markdown."""

from collections.abc import Iterable, Sequence

from benchmarks.quality_result import AUC, COLUMNS, NE, QualityResult
from benchmarks.trees import Fitted
from lattice_model.evaluation.results import MINIMUM_POSITIVES, MINIMUM_USERS, Interval


def page(result: QualityResult) -> str:
    """What was compared, the table, and how to run it again."""
    rows = list(result.rows())
    fits = [
        (f"{zipped.domain}/{zipped.objective}", *_cells(zipped), *_cells(closed))
        for zipped, closed in zip(result.fitted_zipped, result.fitted_closed, strict=True)
    ]
    steps = [(name, f"{seconds:.0f}") for name, seconds in result.seconds.items()]
    most = result.settings["num_boost_round"]
    settings = ", ".join(f"`{name}={value}`" for name, value in result.settings.items())
    machine = result.machine
    versions = ", ".join(f"{name} {number}" for name, number in machine.libraries.items())
    return f"""# Lattice beside LightGBM

{_sentence(result)}

Both models see the same features, test rows and labels (`{result.space}`, group `{result.group}`; Lattice model
`{result.model}`). LightGBM is one model a portfolio, at the oracle head, in two variants:

- **zipped**: trained on the rows of `training` that have the oracle's label: the Zipper gave them the longest window
  (for an immediate objective every row counts). Lattice's oracle heads train on the same rows.
- **closed**: trained on every impression whose oracle label was known before the test range began, zipped or not.

How many trees (at most {most}) is chosen on the validation range, by rows whose labels were known before it; then the
model is fitted again on the rows whose labels were known before the test range.

LightGBM gets the folded ids as categorical features{_left_out(result)}, the dense features as they are (missing values
stay missing), and of each sequence what fits a flat row: its length, the mean of each number, how many events hold the
impression's own id, and the place of the newest of them. Left out is the rest of the sequence: the ids of the other
events and the order of events.

Differences are Lattice minus LightGBM (AUC: above 0 is better; NE: below 0 is better), with 95 % intervals by a paired
bootstrap over users ({result.zipped.replicates} replicates). Means are over the portfolios with at least
{MINIMUM_POSITIVES} positives and {MINIMUM_USERS} users with a positive; * marks the others.

{_table([COLUMNS[i] for i in AUC], ([row[i] for i in AUC] for row in rows))}

{_table([COLUMNS[i] for i in NE], ([row[i] for i in NE] for row in rows))}

What each LightGBM was trained on:

{_table(["portfolio", "zipped rows", "positives", "trees", "closed rows", "positives", "trees"], fits)}

## How it was run

`{result.command}`

{_table(("step", "seconds"), steps)}

{machine.processor}, {machine.cores} cores, {machine.memory_gib} GiB of memory, of which the process itself took at most
{result.peak_gib:.1f} GiB, without Spark's; Python {machine.python}, {versions}. LightGBM's settings: {settings}.
"""


def _sentence(result: QualityResult) -> str:
    zipped, closed = (_amount(found.mean_auc) for found in (result.zipped, result.closed))
    return f"On the mean of AUC over portfolios Lattice is {zipped} of LightGBM zipped and {closed} of LightGBM closed."


def _amount(found: Interval) -> str:
    if found.estimate is None or found.low is None or found.high is None:
        return "beside, without a portfolio that counts,"
    side = "ahead" if found.estimate >= 0 else "short"
    return f"{abs(found.estimate):.4f} {side} ([{found.low:+.4f}, {found.high:+.4f}])"


def _left_out(result: QualityResult) -> str:
    return f" (without the user's own id, `{'`, `'.join(result.left_out)}`)" if result.left_out else ""


def _cells(fitted: Fitted) -> tuple[str, str, str]:
    return f"{fitted.rows:,}", f"{fitted.positives:,}", str(fitted.trees)


def _table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    marks = ["---", *["---:"] * (len(header) - 1)]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in (header, marks, *rows))
