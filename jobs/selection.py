"""``lattice select``: choose the features that the group goes on with, by Pareto frontiers of their importance."""

import json
from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any

import typer
from rich import box
from rich.console import Console
from rich.table import Column, Table

from jobs import options
from jobs.selecting import Selected, select_again, select_features, write_selection_report
from jobs.target import Target
from pipelines.deciding import CRITERIA, FRESHNESS, Fill, Wishes
from pipelines.selections import difference, find_selection
from schemas.duration import parse_duration
from schemas.errors import LatticeError

console = Console(stderr=True)
_SHOWN_FRONTIERS = 8


def select(
    space: options.Space = options.DEFAULT_SPACE,
    warehouse: options.Warehouse = options.DEFAULT_WAREHOUSE,
    group: options.Group = options.DEFAULT_GROUP,
    models: options.Models = None,
    count: Annotated[int | None, typer.Option("--target", help="How many features to choose.")] = None,
    seed: Annotated[int, typer.Option("--seed", help="Of the draw from the frontier that does not fit.")] = 0,
    z: Annotated[float, typer.Option("--z", help="How many standard errors of an importance are noise.")] = 2.0,
    no_noise: Annotated[bool, typer.Option("--no-noise", help="Take importances as exact.")] = False,
    criterion: Annotated[
        list[str] | None, typer.Option("--criterion", help=f"A further axis: {', '.join(CRITERIA)}. May be repeated.")
    ] = None,
    must: Annotated[list[str] | None, typer.Option("--must", help="A feature to choose. May be repeated.")] = None,
    must_not: Annotated[
        list[str] | None, typer.Option("--must-not", help="A feature not to choose. May be repeated.")
    ] = None,
    together: Annotated[
        list[str] | None, typer.Option("--together", help="Features to choose all or none: A,B,C. May be repeated.")
    ] = None,
    limit: Annotated[
        list[str] | None,
        typer.Option(
            "--limit",
            metavar="CRITERION=VALUE",
            help="The most that all chosen features cost together, the least coverage or longest delay of each: "
            "cost.compute=100, coverage=0.05, freshness=1d. May be repeated.",
        ),
    ] = None,
    fill: Annotated[
        Fill,
        typer.Option("--fill", help="Of the frontier that does not fit: draw, or take the most important."),
    ] = "random",
    weight: Annotated[
        list[str] | None,
        typer.Option(
            "--weight", metavar="DOMAIN/OBJECTIVE=VALUE", help="What a portfolio counts for that. May be repeated."
        ),
    ] = None,
    start: Annotated[
        datetime | None,
        typer.Option("--from", formats=["%Y-%m-%d"], help="The day (UTC) from which builds follow it. Default: today."),
    ] = None,
    run: Annotated[str | None, typer.Option("--run", help="An importance run. Default: the latest.")] = None,
    unpin: Annotated[
        bool, typer.Option("--unpin", help="Do not go on computing what is left out and live models read.")
    ] = False,
    again: Annotated[int | None, typer.Option("--again", help="Go back to an earlier selection, by version.")] = None,
    diff: Annotated[tuple[int, int] | None, typer.Option("--diff", help="Compare two selections by version.")] = None,
    as_json: options.Json = False,
) -> None:
    """Choose features by how much each matters to every portfolio; the next `lattice build` follows the choice.

    Examples:

      lattice select --target 30

      lattice select --target 30 --criterion cost.compute --must hour --must-not household --from 2024-06-01

      lattice select --target 30 --limit cost.storage=500 --fill importance --weight coupon/redeem=3

      lattice select --diff 1 2

      lattice select --again 1
    """
    target = Target.parse(space, warehouse, group, models=models)
    if diff is not None:
        _show_difference(target, *diff, as_json)
        return
    if again is not None:
        found = select_again(target, again, start, unpin)
        line = {"selection": found.version, "effective_from": found.effective_from.isoformat(), "again": again}
        print(json.dumps(line) if as_json else f"selection {found.version} is selection {again} again")
        return
    if count is None:
        raise LatticeError("--target", "It is not given.", "Say how many features to choose, such as --target 30.")
    wishes = Wishes(
        target=count,
        seed=seed,
        z=None if no_noise else z,
        criteria=tuple(criterion or ()),
        must=tuple(must or ()),
        must_not=tuple(must_not or ()),
        together=tuple(tuple(part.strip() for part in names.split(",")) for names in together or ()),
        limits=tuple(_limit(text) for text in limit or ()),
        fill=fill,
        weights=tuple(_number("--weight", text) for text in weight or ()),
    )
    made = select_features(target, wishes, start, run, unpin)
    for warning in made.choice.selection.warnings:
        console.print(f"warning: {warning}", style="yellow", markup=False, highlight=False, soft_wrap=True)
    with console.status("select: how stable it is, and its report"):
        result = _result(made, write_selection_report(target, made))
    if as_json:
        print(json.dumps(result, indent=2))
    else:
        _show(result)


def _limit(text: str) -> tuple[str, float]:
    """CRITERION=VALUE; that of freshness is a duration, taken in seconds."""
    name, _, value = text.partition("=")
    if name != FRESHNESS:
        return _number("--limit", text)
    try:
        return name, parse_duration(value).total_seconds()
    except ValueError as error:
        raise LatticeError(f"--limit {text}", f"{str(error).capitalize()}.", "Give freshness=1d, say.") from error


def _number(option: str, text: str) -> tuple[str, float]:
    """NAME=VALUE."""
    name, _, value = text.partition("=")
    try:
        number = float(value)
        if number >= 0:
            return name, number
    except ValueError:
        pass
    example = "cost.compute=100" if option == "--limit" else "feed/click=2"
    raise LatticeError(f"{option} {text}", "It has no number of 0 or more behind the =.", f"Give {example}, say.")


def _result(made: Selected, page: str) -> dict[str, Any]:
    selection, ranked = made.selection, made.choice.selection
    return {
        "selection": selection.version,
        "effective_from": selection.effective_from.isoformat(),
        "importance_run": selection.run_id,
        "tasks": ["/".join(task) for task in made.found.tasks],
        "candidates": len(selection.decisions),
        "target": selection.target,
        "frontiers": list(ranked.sizes),
        "on_no_frontier": int((ranked.frontier_of == 0).sum()),
        "chosen": list(selection.chosen),
        "pinned": list(selection.pinned),
        "warnings": list(ranked.warnings),
        "report": page,
    }


def _show(result: Mapping[str, Any]) -> None:
    sizes = result["frontiers"]
    first = ", ".join(f"{size:,}" for size in sizes[:_SHOWN_FRONTIERS]) + (
        ", ..." if len(sizes) > _SHOWN_FRONTIERS else ""
    )
    shown = Table(Column(no_wrap=True), Column(overflow="fold"), box=box.SIMPLE_HEAD, show_header=False)
    shown.add_row("selection", f"{result['selection']}, effective from {result['effective_from']}")
    shown.add_row(
        "chosen", f"{len(result['chosen']):,} of {result['candidates']:,} features; target {result['target']:,}"
    )
    shown.add_row("sizes of frontiers", f"{first or 'none'}; on none: {result['on_no_frontier']:,}")
    if result["pinned"]:
        shown.add_row("for live models", f"{len(result['pinned']):,} more are computed, and not trained with")
    Console().print(shown)
    print(f"Report: {result['report']}")


def _show_difference(target: Target, before: int, after: int, as_json: bool) -> None:
    uri = target.group_table("selection")
    changed = difference(find_selection(uri, before), find_selection(uri, after))
    if as_json:
        print(json.dumps({"added": changed.added, "removed": changed.removed, "kept": changed.kept}, indent=2))
        return
    print(f"selection {before} -> {after}: {changed.kept:,} features stay")
    for sign, names in (("+", changed.added), ("-", changed.removed)):
        for name in names:
            print(f"{sign} {name}")


if __name__ == "__main__":
    options.script(select)
