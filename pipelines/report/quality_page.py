"""One self-contained HTML page of what was checked in the last batch of every table; no script, no network.

The same arguments give the same bytes.
"""

from collections.abc import Mapping, Sequence

from markupsafe import Markup

from pipelines.report import formats, palette
from pipelines.report.blocks import Section, Table
from pipelines.report.pages import asset, environment
from schemas.quality import Checked, Outcome

_WINDOWS = 1
_LEVELS = {"fine": "", "warn": "warned", "stop": "stopped"}


def quality_page(title: str, group: str, checked: Sequence[Checked], reasons: Mapping[tuple[str, str], int]) -> str:
    """The page.

    Args:
        checked: the last batch of each table, in the order in which they are made.
        reasons: (table, reason) -> how many rows are in quarantine for it.
    """
    template = environment().get_template("quality.html")
    return template.render(
        title=title,
        group=group,
        checked=checked,
        through=formats.moment(max(table.through for table in checked)) if checked else formats.MISSING,
        sections=(_expectations(checked), _quarantine(reasons), _drift(checked)),
        twins=palette.twins(_WINDOWS),
        css=Markup(asset("report.css")),
        hashes=(),
    )


def _expectations(checked: Sequence[Checked]) -> Section:
    tables = tuple(
        Table(
            title=f"{table.table}: {_verdict(table.outcomes)}",
            columns=("Must not be", "Rows looked at", "Rows where it was", "Result", "Why it matters"),
            rows=tuple(
                (o.failure, formats.count(o.rows), formats.count(o.failing), "holds" if o.passed else "fails", o.why)
                for o in table.outcomes
            ),
            remark=True,
            note=f"The {table.rows:,} rows that run {table.run} added, up to {formats.moment(table.through)}; "
            f"{table.quarantined:,} went to quarantine.",
        )
        for table in checked
    )
    lead = "Every table is held against its suite before it is published; these are the last batches."
    return Section(key="expectations", title="Expectations", lead=lead, blocks=tables)


def _verdict(outcomes: Sequence[Outcome]) -> str:
    failing = sum(not outcome.passed for outcome in outcomes)
    return f"{failing} of {len(outcomes)} expectations fail" if failing else f"{len(outcomes)} expectations hold"


def _quarantine(reasons: Mapping[tuple[str, str], int]) -> Section:
    rows = tuple((table, reason, formats.count(count)) for (table, reason), count in sorted(reasons.items()))
    table = Table(title="Rows by reason", columns=("Table", "Reason", "Rows"), names=2, rows=rows)
    lead = "Rows that broke an expectation and were kept apart." if rows else "No row is kept apart."
    return Section(key="quarantine", title="Quarantine", lead=lead, blocks=(table,) if rows else ())


def _drift(checked: Sequence[Checked]) -> Section:
    columns = ("Column", "Domain", "Measure", "Before", "Now", "Beyond chance", "")
    tables = tuple(
        Table(
            title=table.table,
            columns=columns,
            names=3,
            remark=True,
            rows=tuple(
                (m.column, m.domain, m.kind, f"{m.before:.4g}", f"{m.now:.4g}", f"{m.change:.3g}", _LEVELS[m.level])
                for m in table.measures
            ),
            note="The last batch against the one before. Beyond chance: what exceeds three standard errors; of a rate "
            "as a share of it, of a mean in standard deviations, of a null share as it is.",
        )
        for table in checked
        if table.measures
    )
    lead = "What changed most comes first." if tables else "Nothing changed that chance does not explain."
    return Section(key="drift", title="Drift", lead=lead, blocks=tables)
