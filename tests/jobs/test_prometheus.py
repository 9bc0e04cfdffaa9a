"""The Prometheus text file, held against the grammar of the text exposition format 0.0.4."""

import re
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobs.prometheus import Metric, exposition, of_runs, of_tables
from schemas.run import RunRecord, TableRun

_NAME = r"[a-zA-Z_:][a-zA-Z0-9_:]*"
_LABEL = r'([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\\n]|\\["\\n])*)"'
_VALUE = r"([-+]?(?:\d+(?:\.\d*)?(?:[eE][-+]?\d+)?|Inf)|NaN)"
_SAMPLE = re.compile(rf"({_NAME})\{{((?:{_LABEL})(?:,{_LABEL})*)?\}} {_VALUE}")

Samples = dict[str, list[tuple[dict[str, str], float]]]


def parsed(text: str) -> Samples:
    """The samples by metric; fails at the first line that the grammar does not know.

    HELP and TYPE come once a metric, before its samples, which stand together; no sample comes twice.
    """
    assert text == "" or text.endswith("\n")
    found: Samples = {}
    helped: str | None = None
    typed: str | None = None
    for line in text.splitlines():
        if match := re.fullmatch(rf"# HELP ({_NAME}) ((?:[^\\\n]|\\[\\n])*)", line):
            helped = match[1]
            assert helped not in found
        elif match := re.fullmatch(rf"# TYPE ({_NAME}) (counter|gauge|histogram|summary|untyped)", line):
            typed = match[1]
            assert typed == helped
            found[typed] = []
        else:
            sample = _SAMPLE.fullmatch(line)
            assert sample is not None, line
            assert sample[1] == typed
            labels = {name: _plain(value) for name, value in re.findall(_LABEL, sample[2] or "")}
            assert all(labels != other for other, _ in found[sample[1]])
            found[sample[1]].append((labels, float(sample.groups()[-1])))
    return found


def _plain(value: str) -> str:
    return re.sub(r"\\(.)", lambda match: {"n": "\n"}.get(match[1], match[1]), value)


@given(
    st.dictionaries(st.text(max_size=8), st.floats(allow_nan=False, allow_infinity=False), max_size=4),
    st.text(max_size=20).filter(lambda text: not re.search(r"[\r\x0b\x0c\x1c-\x1e\x85\u2028\u2029]", text)),
)
def test_any_label_and_number_survives(values: dict[str, float], says: str) -> None:
    clean = {re.sub(r"[\r\x0b\x0c\x1c-\x1e\x85\u2028\u2029]", "", key): value for key, value in values.items()}
    metric = Metric("m", says, [({"label": key}, value) for key, value in clean.items()])
    expected = {"m": [({"label": key}, value) for key, value in clean.items()]} if clean else {}
    assert parsed(exposition([metric])) == expected


@pytest.mark.parametrize("line", ["m 1", "m{a=b} 1", 'm{a="b"} one', 'm{a="b"c"} 1', 'other{a="b"} 1'])
def test_the_grammar_of_this_test_knows_what_is_wrong(line: str) -> None:
    with pytest.raises(AssertionError):
        parsed(f"# HELP m h\n# TYPE m gauge\n{line}\n")


STARTED = datetime(2024, 5, 1, 1, tzinfo=UTC)


def record(**changed: object) -> RunRecord:
    table = TableRun(name="late_feedback", stage="zip", version=3, rows=5, seconds=2.5, bytes=700, quarantined=0)
    raw = TableRun(name="feedback", stage="ingest", version=4, rows=95, seconds=0.5, bytes=300, quarantined=2)
    base = RunRecord(
        id="r", command="nightly", space="s", group="all", sample=None, state="succeeded", started=STARTED,
        ended=STARTED + timedelta(seconds=90), tables=(raw, table),
    )  # fmt: skip
    return base.model_copy(update=changed)


def test_what_runs_and_tables_tell() -> None:
    rows: list[dict[str, object]] = [
        {"table": "unified", "rows": 9, "version": 2, "through_seconds": 1714525200.5, "overdue": False},
        {"table": "zipped", "rows": None, "version": None, "through_seconds": None, "overdue": True},
    ]
    killed = record(command="build", state="running", ended=None, tables=())
    common = {"space": "s", "group": "all"}
    text = exposition([*of_tables(rows, {"impressions": 3}, common), *of_runs([record(), killed])])
    found = parsed(text)
    assert found["lattice_table_rows"] == [({**common, "table": "unified"}, 9.0)]
    assert found["lattice_table_published_through_seconds"][0][1] == 1714525200.5
    assert [value for _, value in found["lattice_table_overdue"]] == [0.0, 1.0]
    assert found["lattice_quarantined_rows"] == [({**common, "table": "impressions"}, 3.0)]
    of_night = {name: {labels["command"]: value for labels, value in samples}
                for name, samples in found.items() if re.fullmatch("lattice_run_[a-su-z].*", name)}  # fmt: skip
    assert of_night["lattice_run_rows"] == {"nightly": 100.0, "build": 0.0}
    assert of_night["lattice_run_bytes"] == {"nightly": 1000.0, "build": 0.0}
    assert of_night["lattice_run_late_rows"]["nightly"] == 5.0
    assert of_night["lattice_run_quarantined_rows"]["nightly"] == 2.0
    assert of_night["lattice_run_duration_seconds"] == {"nightly": 90.0}
    assert (of_night["lattice_run_succeeded"], of_night["lattice_run_failed"]) == (
        {"nightly": 1.0, "build": 0.0},
        {"nightly": 0.0, "build": 0.0},
    )
    assert {labels["table"]: value for labels, value in found["lattice_run_table_seconds"]} == {
        "feedback": 0.5,
        "late_feedback": 2.5,
    }
