"""The plans that a warehouse's rows were made by: each space file and sample, kept to compare a later one with."""

from jobs.target import Plan, Target
from pipelines.tables import join_uri
from pipelines.warehouse import list_files, read_text, write_text
from schemas.space import ModelSpace


def keep_plan(target: Target) -> None:
    """Keep what the target's rows are made by, unless it is kept already."""
    known = list_files(target.plans)
    for fingerprint, plan in target.plans_made.items():
        if (place := _place(target, fingerprint)) not in known:
            write_text(place, plan.model_dump_json(by_alias=True, indent=1))


def plan_of(target: Target, plan: str) -> Plan | None:
    """The plan of a fingerprint; None if it is not kept."""
    place = _place(target, plan)
    return Plan.model_validate_json(read_text(place)) if place in list_files(target.plans) else None


def plans_kept(target: Target) -> list[ModelSpace]:
    """Every space file that rows of the space were ever made by."""
    return [Plan.model_validate_json(read_text(place)).space for place in list_files(target.plans)]


def _place(target: Target, plan: str) -> str:
    return join_uri(target.plans, f"{plan}.json")
