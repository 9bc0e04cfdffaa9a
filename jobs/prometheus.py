"""What ``lattice status`` knows as a Prometheus text file, such as node_exporter's textfile collector reads.

The format is Prometheus' text exposition format, version 0.0.4: for each metric a HELP and a TYPE line, then its
samples.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from schemas.run import RunRecord

Labels = Mapping[str, str]


@dataclass(frozen=True)
class Metric:
    """A gauge: its name, what it says, and its samples."""

    name: str
    help: str
    samples: Sequence[tuple[Labels, float]]


def exposition(metrics: Iterable[Metric]) -> str:
    """The text file; a metric without samples is left out."""
    lines: list[str] = []
    for metric in metrics:
        if metric.samples:
            lines += [f"# HELP {metric.name} {_escaped(metric.help)}", f"# TYPE {metric.name} gauge"]
        for labels, value in metric.samples:
            named = ",".join(f'{key}="{_quoted(text)}"' for key, text in labels.items())
            lines.append(f"{metric.name}{{{named}}} {value:.17g}")
    return "".join(f"{line}\n" for line in lines)


def of_tables(rows: Sequence[Mapping[str, object]], quarantined: Mapping[str, int], common: Labels) -> list[Metric]:
    """Gauges of the rows that ``lattice status`` shows."""

    def each(key: str) -> list[tuple[Labels, float]]:
        found = ((row["table"], row[key]) for row in rows if row[key] is not None)
        return [({**common, "table": str(table)}, float(str(value))) for table, value in found]

    apart: list[tuple[Labels, float]] = [({**common, "table": name}, count) for name, count in quarantined.items()]
    overdue = [({**common, "table": str(row["table"])}, float(bool(row["overdue"]))) for row in rows]
    return [
        Metric("lattice_table_rows", "Rows of the published version.", each("rows")),
        Metric("lattice_table_version", "The published Delta version.", each("version")),
        Metric(
            "lattice_table_published_through_seconds",
            "The table holds what was available before this instant (Unix time).",
            each("through_seconds"),
        ),
        Metric("lattice_table_overdue", "1 if the table lacks the expected day.", overdue),
        Metric("lattice_quarantined_rows", "Rows in quarantine.", apart),
    ]


def of_runs(records: Iterable[RunRecord]) -> list[Metric]:
    """Gauges of the last run of each command."""
    of_run: dict[str, list[tuple[Labels, float]]] = {}
    of_table: dict[str, list[tuple[Labels, float]]] = {}
    for record in records:
        labels = {"space": record.space, "group": record.group, "command": record.command}
        values = {
            "started_seconds": record.started.timestamp(),
            "succeeded": float(record.state == "succeeded"),
            "failed": float(record.state == "failed"),
            "rows": record.rows,
            "bytes": record.bytes,
            "quarantined_rows": record.quarantined,
            "late_rows": record.late,
        }
        if record.seconds is not None:
            values["duration_seconds"] = record.seconds
        for name, value in values.items():
            of_run.setdefault(name, []).append((labels, value))
        for table in record.tables:
            named = {**labels, "stage": table.stage, "table": table.name}
            of_table.setdefault("rows", []).append((named, table.rows))
            of_table.setdefault("bytes", []).append((named, table.bytes))
            of_table.setdefault("seconds", []).append((named, table.seconds))
    return [
        *(Metric(f"lattice_run_{name}", _RUN[name], of_run.get(name, [])) for name in _RUN),
        *(Metric(f"lattice_run_table_{name}", text, of_table.get(name, [])) for name, text in _RUN_TABLE.items()),
    ]


_RUN = {
    "started_seconds": "When the last run of the command started (Unix time).",
    "duration_seconds": "How long it took.",
    "succeeded": "1 if it succeeded.",
    "failed": "1 if it failed; a run that is on, or was killed, neither succeeded nor failed.",
    "rows": "Rows that it added to all tables.",
    "bytes": "Bytes that it added to all tables.",
    "quarantined_rows": "Rows that it kept apart in quarantine.",
    "late_rows": "Rows that came too late to change a published one.",
}
_RUN_TABLE = {
    "rows": "Rows that the last run of the command added to the table.",
    "bytes": "Bytes that it added to the table.",
    "seconds": "How long it worked on the table.",
}


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace("\n", "\\n")


def _quoted(text: str) -> str:
    return _escaped(text).replace('"', '\\"')
