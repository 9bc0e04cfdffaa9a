"""The tally of faults: what counts as whole, and what the page says."""

from benchmarks.content import Content
from benchmarks.faults.__main__ import Tally, page
from benchmarks.faults.cases import Fault
from benchmarks.faults.site import whole
from benchmarks.quality_result import Machine

OLD, NEW, TORN = (Content(rows=rows, digest=str(rows)) for rows in (5, 9, 7))


def test_each_table_is_as_it_was_or_as_it_is_to_be() -> None:
    before, wanted = {"a": OLD, "b": OLD}, {"a": NEW, "b": NEW}
    assert whole({"a": NEW, "b": OLD}, before, wanted)
    assert not whole({"a": NEW, "b": TORN}, before, wanted)
    assert not whole({"a": NEW, "b": None}, before, wanted)
    assert whole({"a": None, "b": NEW}, {"a": None, "b": None}, wanted)


def fault(**changed: object) -> Fault:
    base = Fault(case="driver killed", command="build", detail="after 3.0 s", ended="killed", readers=True, equal=True)
    return base.model_copy(update=changed)


def test_the_page_counts_by_fault_and_command() -> None:
    faults = (
        fault(),
        fault(equal=False),
        fault(command="nightly", ended="exit 0, before it was killed"),
        fault(case="table's file overwritten", readers=None, ended="exit 2"),
    )
    tally = Tally(command="python -m benchmarks.faults", machine=Machine.here(), faults=faults, planned=9)
    shown = page(tally)
    assert "| driver killed | build | 2 | 2 of 2 | 1 of 2 | killed |" in shown
    assert "| driver killed | nightly | 1 | 1 of 1 | 1 of 1 | exit 0, before it was killed |" in shown
    assert "| table's file overwritten | build | 1 | one is lost | 1 of 1 | exit 2 |" in shown
    assert "4 of 9 faults had been tried" in shown
    assert not tally.good
    assert Tally(command="c", machine=Machine.here(), faults=faults[2:], planned=2).good
