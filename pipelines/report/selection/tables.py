"""Tables of a selection: tasks, reasons, costs, settings, and every feature."""

from typing import Any

import numpy as np
import pyarrow as pa

from pipelines.frontiers import Floats, Ints
from pipelines.report import formats
from pipelines.report.blocks import Table
from pipelines.report.selection.facts import Facts
from schemas.selection import Decision

REASONS = {
    ("must", True): "must be chosen",
    ("frontier", True): "its whole frontier had room",
    ("fill", True): "taken from the frontier that had room for a part",
    ("must_not", False): "must not be chosen",
    ("limit", False): "a limit left it out",
    ("frontier", False): "its frontier came after the target was reached",
    ("fill", False): "not taken from the frontier that had room for a part",
    ("noise", False): "worth nothing beyond noise to any task",
    ("unmeasured", False): "the importance run does not know it",
}
COLUMNS = ("Feature", "", "Kind", "Why", "Worth most to", "Frontier", "Place", "Chosen again", "Worth there")
_TOP = 10


def tasks_table(facts: Facts) -> Table:
    """What each task keeps, and the most important feature that it loses."""
    rows = []
    for task, name in enumerate(facts.tasks):
        worth = facts.worth[:, task]
        best = np.argsort(-worth, kind="stable")
        lost = next((feature for feature in best if not facts.chosen[feature] and worth[feature] > 0), None)
        top = [feature for feature in best[:_TOP] if worth[feature] > 0]
        rows.append(
            (
                name,
                formats.percent(float(facts.kept_now[task])),
                f"{int(facts.chosen[top].sum())} of {len(top)}",
                formats.count(int((worth > 0).sum())),
                formats.MISSING if lost is None else facts.names[lost],
                formats.MISSING if lost is None else formats.percent(float(facts.relative[lost, task])),
            )
        )
    return Table(
        title="What each task keeps",
        columns=(
            "Task", "Importance kept", f"Of its top {_TOP}", "Features above 0", "Its best left out", "Worth of that",
        ),
        rows=tuple(rows),
        note="The worth of a feature is relative to the most important feature of the same task.",
    )  # fmt: skip


def reasons_table(facts: Facts) -> Table:
    """How many features each reason decided, with the most important of them."""
    rows = []
    for (reason, chosen), words in REASONS.items():
        mine = [
            feature
            for feature in facts.best
            if (found := facts.selection.decisions[feature]).reason == reason and found.chosen == chosen
        ]
        if mine:
            examples = ", ".join(facts.names[feature] for feature in mine[:3])
            rows.append(("chosen" if chosen else "left out", words, formats.count(len(mine)), examples))
    pinned = facts.selection.pinned
    note = f"{len(pinned):,} of those left out are still computed, because a live model reads them." if pinned else ""
    return Table(
        title="What was chosen and left out, and why",
        columns=("", "Why", "Features", "The most important of them"),
        names=2,
        remark=True,
        rows=tuple(rows),
        note=note,
    )


def costs_table(facts: Facts) -> Table:
    """What all candidates cost and what the chosen ones do."""
    measures: list[tuple[str, Floats | Ints]] = [("Bytes a row, before compression", facts.row_bytes)]
    measures += [
        (f"{name}, as declared", cost)
        for name, cost in (("Compute", facts.compute), ("Storage", facts.storage))
        if cost.any()
    ]
    rows = [("Features", *_saved(len(facts.names), int(facts.chosen.sum())))]
    rows += [(name, *_saved(float(cost.sum()), float(cost[facts.chosen].sum()))) for name, cost in measures]
    declared = "" if len(measures) > 1 else " No feature of the space declares a cost."
    return Table(
        title="What it costs",
        columns=("", "All candidates", "Chosen", "Saved"),
        rows=tuple(rows),
        note=f"Bytes are those of a row's features in the training table.{declared}",
    )


def settings_table(facts: Facts) -> Table:
    """From what and how the selection was made: enough to make it again."""
    made, found = facts.selection, facts.found
    noise = "importances taken as exact" if made.z is None else f"{made.z:g} standard errors"
    return Table(
        title="How it was made",
        columns=("", ""),
        names=2,
        rows=(
            ("Target", formats.count(made.target)),
            ("Seed", str(made.seed)),
            ("Noise", noise),
            ("Further criteria", ", ".join(made.criteria) or "none"),
            ("Further options", "; ".join(made.options) or "none"),
            ("Importance", f"run {made.run_id}, Delta version {made.importance_version}"),
            (
                "Measured on",
                f"version {made.data_version} of evaluation, up to {formats.count(found.rows)} rows a task",
            ),
            ("Repeats", formats.count(found.repeats)),
            ("Measured by", f"{found.metric.upper()} of model {made.model}, {formats.moment(found.computed_at)}"),
        ),
    )


def listed(facts: Facts) -> tuple[list[list[Any]], list[str]]:
    """Every feature in the order of the page's list, and the texts that the rows refer to by position."""
    texts: list[str] = []
    places: dict[str, int] = {}

    def place(words: str) -> int:
        if words not in places:
            places[words] = len(texts)
            texts.append(words)
        return places[words]

    rows = []
    for feature in listing(facts):
        found: Decision = facts.selection.decisions[feature]
        rows.append(
            [
                found.feature,
                int(found.chosen),
                place(found.kind),
                place(REASONS[found.reason, found.chosen] + (", still computed" if found.pinned else "")),
                place(facts.main_task(feature)),
                found.frontier or formats.MISSING,
                found.position or formats.MISSING,
                f"{facts.share[feature]:.0%}",
                formats.percent(float(facts.relative[feature].max())),
            ]
        )
    return rows, texts


def listing(facts: Facts) -> list[int]:
    """Features: the chosen ones in their order, then the others by what they are worth."""
    rank = {int(feature): place for place, feature in enumerate(facts.best)}
    decisions = facts.selection.decisions
    return sorted(range(len(decisions)), key=lambda feature: (decisions[feature].position or np.inf, rank[feature]))


def as_table(facts: Facts) -> pa.Table:
    """What the CSV holds: a row a feature, with every importance and its standard error."""
    order = listing(facts)
    decisions = [facts.selection.decisions[feature] for feature in order]
    columns: dict[str, Any] = {
        "feature": [found.feature for found in decisions],
        "kind": [found.kind for found in decisions],
        "chosen": [found.chosen for found in decisions],
        "position": pa.array([found.position for found in decisions], pa.int64()),
        "frontier": [found.frontier for found in decisions],
        "reason": [found.reason for found in decisions],
        "still_computed": [found.chosen or found.pinned for found in decisions],
        "chosen_again": facts.share[order],
        "bytes_a_row": facts.row_bytes[order],
        "cost_compute": facts.compute[order],
        "cost_storage": facts.storage[order],
    }
    for task, (domain, objective) in enumerate(facts.found.tasks):
        columns[f"{domain}/{objective}"] = facts.found.means[order, task]
        columns[f"{domain}/{objective} standard error"] = facts.found.standard_errors[order, task]
    return pa.table(columns)


def _saved(every: float, chosen: float) -> tuple[str, str, str]:
    saved = formats.percent(1 - chosen / every) if every else formats.MISSING
    return _plain(every), _plain(chosen), saved


def _plain(value: float) -> str:
    """Whole numbers where that says enough."""
    return f"{value:,.0f}" if value >= 100 or value == round(value) else f"{value:.3g}"
