"""``lattice importance``: what each feature is worth to each portfolio, by permuting it on validation rows."""

from typing import Annotated

import typer
from pyspark.sql import DataFrame
from pyspark.sql import functions as F
from rich import box
from rich.console import Console
from rich.table import Column, Table

from jobs import options
from jobs.importance_run import Request, measure_importance
from jobs.models import find_model
from jobs.spark_errors import explained
from jobs.target import Target
from lattice_model.importance.config import ImportanceConfig
from pipelines.session import spark_session
from schemas.errors import LatticeError

_SHOWN = 20
_NOISE = 2.0
"""Standard errors."""


def show_importance(rows: DataFrame, to: Console) -> None:
    """Print the features that are worth most to any task."""
    above = F.count_if(F.col("mean") > _NOISE * F.col("standard_error")).alias("above")
    best = F.max_by(F.struct("domain", "objective", "mean", "standard_error"), "mean").alias("best")
    by_feature = rows.groupBy("feature", "kind").agg(best, above).orderBy(F.desc("best.mean"), "feature")
    features = by_feature.count()
    shown = Table(
        Column("feature", no_wrap=True), "kind", Column("worth most to", no_wrap=True),
        *(Column(name, justify="right", no_wrap=True) for name in ("NE increase", "error", "tasks above noise")),
        box=box.SIMPLE_HEAD, pad_edge=False, title=f"The {min(_SHOWN, features)} first of {features:,} features",
    )  # fmt: skip
    for row in by_feature.limit(_SHOWN).collect():
        task = row["best"]
        numbers = (f"{task['mean']:.6f}", f"{task['standard_error']:.6f}", str(row["above"]))
        shown.add_row(row["feature"], row["kind"], f"{task['domain']}/{task['objective']}", *numbers)
    to.print(shown)


def importance(
    space: options.Space = options.DEFAULT_SPACE,
    warehouse: options.Warehouse = options.DEFAULT_WAREHOUSE,
    group: options.Group = options.DEFAULT_GROUP,
    models: options.Models = None,
    model: Annotated[
        str | None,
        typer.Option("--model", help="A model trained with --split validation. Default: the latest one."),
    ] = None,
    rows: Annotated[int, typer.Option("--rows", min=1, help="Validation rows, shared among the domains.")] = 20_000,
    repeats: Annotated[int, typer.Option("--repeats", min=1, help="Permutations of a feature, at most.")] = 3,
    seed: Annotated[int, typer.Option("--seed", help="Of the rows and the permutations.")] = 1,
    negligible: Annotated[
        float,
        typer.Option(
            "--negligible",
            min=0.0,
            help="Do not permute again in a domain what is surely worth less NE to its tasks.",
        ),
    ] = ImportanceConfig().negligible,
    exact: Annotated[
        bool, typer.Option("--exact", help="Run the model on every row that changes, never on a sample of them.")
    ] = False,
    together: Annotated[
        list[str] | None,
        typer.Option("--together", help="NAME=FEATURE,...: permute these as one; patterns such as pair_* are allowed."),
    ] = None,
    as_json: options.Json = False,
) -> None:
    """Measure what each feature is worth to each portfolio: how much NE rises when its values are permuted.

    On validation rows, within each domain, at the oracle heads; into the table `importance`, where `lattice select`
    finds it. A run that was killed goes on where it stood.

    Examples:

      lattice importance

      lattice importance --rows 100000 --repeats 5 --seed 7

      lattice importance --model 1a2b3c4d5e6f --together pair=pair_* --json
    """
    target = Target.parse(space, warehouse, group, models=models)
    folder = find_model(target, "validation", model)
    config = ImportanceConfig(repeats=repeats, seed=seed, negligible=negligible, exact=exact)
    request = Request(rows=rows, config=config, together=_groups(together or []))
    with explained():
        spark = spark_session("importance")
        found = measure_importance(target, spark, folder, request)
        if as_json:
            ordered = found.orderBy("feature", "domain", "objective").toPandas()
            print(ordered.to_json(orient="records", date_format="iso", indent=1, double_precision=15))
        else:
            show_importance(found, Console())


def _groups(together: list[str]) -> dict[str, list[str]]:
    groups: dict[str, list[str]] = {}
    for declared in together:
        name, _, members = declared.partition("=")
        if not name or not members or name in groups:
            raise LatticeError(
                f"--together {declared}", "It declares no new group.", "Write NAME=FEATURE,FEATURE, each NAME once."
            )
        groups[name] = members.split(",")
    return groups


if __name__ == "__main__":
    options.script(importance)
