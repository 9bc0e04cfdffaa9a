"""Runs expectation suites by Great Expectations: a table that fails is not published, and the message says why."""

import logging
import os
from dataclasses import dataclass
from typing import Any

import pandas as pd
from pyspark.sql import DataFrame

from schemas.errors import LatticeError
from schemas.expectations import Expectation
from schemas.quality import FEW, Outcome

# Before the import: no usage statistics leave the machine.
os.environ.setdefault("GX_ANALYTICS_ENABLED", "false")

import great_expectations as gx
import great_expectations.expectations as gxe
from great_expectations.core import ExpectationSuiteValidationResult, ExpectationValidationResult
from great_expectations.data_context.types.base import ProgressBarsConfig

logging.getLogger("great_expectations").setLevel(logging.WARNING)
logging.getLogger("great_expectations.data_context.types.base").setLevel(logging.WARNING)  # it sets its own level

_EXAMPLES = 5


@dataclass(frozen=True, kw_only=True)
class Failure:
    """What does not hold in a table."""

    expectations: tuple[Expectation, ...]
    problems: tuple[str, ...]
    """A sentence for each: in how many rows, which, and why it matters."""


def check(
    rows: DataFrame, name: str, suite: list[Expectation], keys: tuple[str, ...], count: int | None = None
) -> tuple[Outcome, ...]:
    """Hold ``rows`` against the suite; return how each expectation turned out.

    Args:
        rows: what is about to be published as ``name``.
        suite: the conditions.
        keys: the columns by which the message names failing rows.
        count: how many rows there are, if that is known.

    Raises:
        LatticeError: a condition fails; says which one, why it matters, in how many rows, and shows some.
    """
    outcomes, failure = examine(rows, suite, keys, count)
    if failure is not None:
        raise refusal(name, suite, failure.problems)
    return outcomes


def refusal(name: str, suite: list[Expectation], problems: tuple[str, ...], limit: str = "") -> LatticeError:
    """The message about a table that is not published; ``limit`` says how much would have been allowed."""
    number = f"{len(problems)} of {len(suite)} expectations fail, so nothing was published"
    return LatticeError(
        f"table '{name}'",
        f"{number}{limit}:\n    " + "\n    ".join(problems),
        "Mend these rows in the input (or the space file, if it declares them wrongly) and run again.",
    )


def examine(
    rows: DataFrame, suite: list[Expectation], keys: tuple[str, ...], count: int | None = None
) -> tuple[tuple[Outcome, ...], Failure | None]:
    """How each expectation turned out, and what does not hold, if anything; arguments as of ``check``."""
    others = (e.arguments[other] for e in suite for other in ("earlier", "with") if other in e.arguments)
    named = {*(e.column for e in suite), *others, *keys}
    # Great Expectations takes each of thousands of columns into every query otherwise.
    rows = rows.select(*(column for column in rows.columns if column in named))
    # A first pass only counts; rows are looked up only where something failed.
    few = count is not None and count <= FEW
    counted = _run(_in_memory(rows) if few else rows, suite, {"result_format": "BASIC", "partial_unexpected_count": 0})
    outcomes = tuple(
        Outcome(
            failure=suite[position].failure,
            why=suite[position].why,
            rows=outcome.result.get("element_count"),
            failing=_failing(outcome),
            passed=bool(outcome.success),
        )
        for position, outcome in _placed(counted)
    )
    if counted.success:
        return outcomes, None
    result = _run(
        rows,
        suite,
        {
            "result_format": "SUMMARY",
            "partial_unexpected_count": _EXAMPLES,
            "unexpected_index_column_names": [key for key in keys if key in rows.columns],
        },
    )
    failed = [(suite[position], outcome.result) for position, outcome in _placed(result) if not outcome.success]
    return outcomes, Failure(
        expectations=tuple(expectation for expectation, _ in failed),
        problems=tuple(_describe(found, expectation) for expectation, found in failed),
    )


def _placed(
    result: ExpectationSuiteValidationResult,
) -> list[tuple[int, ExpectationValidationResult]]:
    """What was found, each with the place of its expectation in the suite, in that order."""
    found = [(o.expectation_config.meta["position"], o) for o in result.results if o.expectation_config is not None]
    return sorted(found, key=lambda pair: pair[0])


def _failing(outcome: ExpectationValidationResult) -> int:
    """How many rows break the expectation; one where it is about the whole table, none where there are no rows."""
    found = outcome.result.get("unexpected_count")
    return int(not outcome.success) if found is None else int(found)


def _in_memory(rows: DataFrame) -> pd.DataFrame:
    """The rows in pandas, where a null is null and NaN is a number, as in Spark."""
    # Times as Spark compares them: whole microseconds.
    found: pd.DataFrame = rows.toArrow().to_pandas(types_mapper=pd.ArrowDtype)
    return found


def _run(
    rows: DataFrame | pd.DataFrame, suite: list[Expectation], result_format: dict[str, object]
) -> ExpectationSuiteValidationResult:
    context = gx.get_context(mode="ephemeral")
    context.variables.progress_bars = ProgressBarsConfig(globally=False)
    # Not persisted: Great Expectations would first copy every column of the table into Spark's cache.
    sources = context.data_sources
    source = (
        sources.add_pandas("pandas") if isinstance(rows, pd.DataFrame) else sources.add_spark("spark", persist=False)
    )
    asset = source.add_dataframe_asset("table")
    batch = asset.add_batch_definition_whole_dataframe("whole")
    expectations = context.suites.add(gx.ExpectationSuite(name="suite"))
    for position, expectation in enumerate(suite):
        wanted = _expectation(expectation)
        wanted.meta = {"position": position}
        expectations.expectations.append(wanted)
    expectations.save()
    validation = gx.ValidationDefinition(name="validation", data=batch, suite=expectations)
    validation = context.validation_definitions.add(validation)
    return validation.run(batch_parameters={"dataframe": rows}, result_format=result_format)


def _expectation(expectation: Expectation) -> gxe.Expectation:
    column, arguments = expectation.column, expectation.arguments
    match expectation.kind:
        case "not_empty":
            return gxe.ExpectTableRowCountToBeBetween(min_value=1)
        case "not_null":
            return gxe.ExpectColumnValuesToNotBeNull(column=column)
        case "unique":
            return gxe.ExpectColumnValuesToBeUnique(column=column)
        case "unique_together":
            return gxe.ExpectCompoundColumnsToBeUnique(column_list=[column, arguments["with"]])
        case "in_set":
            return gxe.ExpectColumnValuesToBeInSet(column=column, **arguments)
        case "between":
            return gxe.ExpectColumnValuesToBeBetween(column=column, **arguments)
        case "not_before":
            return gxe.ExpectColumnPairValuesAToBeGreaterThanB(
                column_A=column, column_B=arguments["earlier"], or_equal=True, ignore_row_if="either_value_is_missing"
            )


def _describe(result: dict[str, Any], expectation: Expectation) -> str:
    if expectation.kind == "not_empty":
        return f"{expectation.failure}; this matters because {expectation.why}"
    examples = "; ".join(
        ", ".join(f"{key}={value}" for key, value in row.items())
        for row in result.get("partial_unexpected_index_list", [])
    )
    rows = f"{result.get('unexpected_count', 0):,} of {result.get('element_count', 0):,} rows"
    return f"{expectation.failure} in {rows} ({examples}); this matters because {expectation.why}"
