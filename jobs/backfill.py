"""``lattice backfill``: compute a feature for the rows that are there, and nothing else."""

from collections.abc import Collection, Iterator
from typing import Annotated

import typer
from pyspark.sql import DataFrame

from jobs import hold_out, ingest, options, prepare
from jobs.context import Context, other_selection
from jobs.logs import console, say
from jobs.parts import parts
from jobs.plans import keep_plan, plan_of, plans_kept
from jobs.runs import Made, Run, running
from jobs.spark_errors import explained
from jobs.target import Target, fingerprint
from jobs.zip import publish_zipped
from pipelines.backfilling import backfilled, feature_types, only
from pipelines.concatenation import KEYS, memory, unified
from pipelines.privacy import side_keys
from pipelines.session import spark_session
from pipelines.spans import Span
from pipelines.tables import Published, leading, published, read_delta, require, restamp, write
from pipelines.warehouse import remove_folder
from schemas.errors import LatticeError
from schemas.evolution import check_evolution
from schemas.expectations import unified_suite
from schemas.features import history_measures, sequence_columns
from schemas.space import Categorical, Dense, ModelSpace


def backfill_features(target: Target, names: Collection[str]) -> list[Made]:
    """Compute features for the rows of a group that are published; return what was made, nothing if that is done.

    Raises:
        LatticeError: there is no such feature, or the space file changed in another way that the rows do not allow.
    """
    with running(target, "backfill") as run:
        declared, columns = _asked(target.space, names)
        rows = require(target.group_table("unified"), "lattice build")
        before = _before(target, rows, declared)
        wanted = fingerprint("backfill", target.group_plan, str(rows.through), *sorted(columns))
        made_anew = [target.group_table(name) for name in ("unified", "zipped", "evaluation", "training")]
        made_anew += [target.group_table("pool")] if target.pool else []
        if all((found := published(uri)) is not None and found.fingerprint == wanted for uri in made_anew):
            return []
        keep_plan(target)
        with explained():
            with console.status("backfill: starting Spark"):
                spark = spark_session("backfill")
            assert rows.through is not None, "_before has looked"
            context = Context(target, run, "backfill", spark, wanted, rows.through, grow=True, anew=True)
            if _unread(target, before, columns):
                say("backfill: the raw tables are read again, for columns that were not declared before")
                ingest.STAGE.work(context)
            _backfill(context, rows, target.computed, columns)
            if target.pool:
                _backfill(context, require(target.group_table("pool"), "lattice build"), target.space, columns)
            publish_zipped(context)
            for stage in (hold_out.STAGE, prepare.STAGE):
                stage.work(context)
        _restamp_others(target, made_anew, run)
    return run.made


def _backfill(context: Context, table: Published, space: ModelSpace, columns: Collection[str]) -> None:
    """Publish ``unified`` or ``pool`` with some columns new."""
    if table.fingerprint == context.fingerprint:
        return
    target = context.target
    names = [name for name in feature_types(space) if name in columns]
    narrow, keys = only(space, _features_of(space, names)), side_keys(space, target.group)
    impressions = context.read(target.space_table("impressions"))
    members = impressions.where(impressions["domain"].isin(*space.group_domains(target.group)))
    events = {name: context.read(uri) for name, uri in target.event_tables.items()}
    attributes = {name: context.read(uri) for name, uri in target.attribute_tables.items()}
    rows, place = context.read(table.uri), target.group_table("backfilled")

    def made(span: Span) -> Iterator[DataFrame]:
        # So few columns need not be made part by part; written once, they are read by each part of the wide rows.
        known = memory(events, attributes, narrow, span)
        found = unified(members.where(span.holds("impression_time")), known, attributes, narrow, span, keys)
        few = found.select("impression_id", "impression_time", *names)
        version = write(few, place, append=False, note=f"run={context.run.id}")
        columns = read_delta(context.spark, place, version)
        for part in parts(lambda: rows, span):
            inside = part.holds("impression_time")
            whole = backfilled(rows.where(inside), columns.where(inside), names, space, target.group)
            yield leading(whole, *KEYS, "window")

    suite = [e for e in unified_suite(space, target.group) if not e.column or e.column in {*names, *KEYS}]
    context.publish(made, table.uri, suite, KEYS)
    remove_folder(place)


def _asked(space: ModelSpace, names: Collection[str]) -> tuple[set[str], set[str]]:
    """The declared features that names mean, and their columns, with the ratios that divide one of them."""
    declared: dict[str, set[str]] = {}
    for name, columns in _columns(space):
        # An id and a history may well have one name.
        declared.setdefault(name, set()).update(columns)
    found = set()
    for name in names:
        owner = next((key for key, columns in declared.items() if name == key or name in columns), None)
        if owner is None:
            raise LatticeError(
                f"--feature {name}", "The space declares no such feature.", f"Declared: {', '.join(declared)}."
            )
        found.add(owner)
    changed = set().union(*(declared[name] for name in found))
    for name, ratio in space.features.ratio.items():
        if {ratio.numerator, ratio.denominator} & changed:
            found.add(name)
            changed.add(name)
    return found, changed


def _columns(space: ModelSpace) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Every declared feature with its columns."""
    features = space.features
    yield from ((name, (name,)) for name in (*features.categorical, *features.dense, *features.ratio))
    for name, history in features.history.items():
        yield name, tuple(measure.column for measure in history_measures(name, history))
    yield from ((feature.name, feature.columns) for feature in sequence_columns(space))


def _features_of(space: ModelSpace, columns: Collection[str]) -> set[str]:
    """The candidates that columns belong to: a sequence has several."""
    sequences = {name: feature.name for feature in sequence_columns(space) for name in feature.columns}
    return {sequences.get(name, name) for name in columns}


def _before(target: Target, table: Published, declared: Collection[str]) -> ModelSpace:
    """The space that the rows were made under, which allows the rest of the change."""
    plan = plan_of(target, table.plan) if table.through is not None else None
    if plan is None or table.through is None or plan.sample != target.sample:
        raise LatticeError(
            table.uri,
            "The table was built from another sample or an unknown space file, so nothing can be added to its rows.",
            "Build it anew with `lattice build`, or give the sample that it was built with.",
        )
    now = target.plans_made[target.group_plan]
    if (plan.chosen, plan.pinned) != (now.chosen, now.pinned):
        raise other_selection(table, target)
    check_evolution(plan.space, target.space, target.group, table.through, declared)
    return plan.space


def _unread(target: Target, before: ModelSpace, columns: Collection[str]) -> bool:
    """Whether the features need columns of raw tables that were not declared when some of their rows were read."""
    raw = published(target.space_table("impressions"))
    if raw is not None and raw.plan == target.plan and not raw.evolved:
        return False
    needed = _raw_columns(only(target.space, _features_of(target.space, columns)))
    return any(not needed <= _declared(space) for space in (before, *plans_kept(target)))


def _declared(space: ModelSpace) -> set[tuple[str, str, str]]:
    return {
        (section, name, column)
        for section in ("domains", "events", "attributes")
        for name, table in getattr(space, section).items()
        for column in table.columns
    }


def _raw_columns(space: ModelSpace) -> set[tuple[str, str, str]]:
    """The declared columns of raw tables that features are made of."""
    features, found = space.features, set[tuple[str, str, str]]()
    plains: list[Categorical | Dense] = [*features.categorical.values(), *features.dense.values()]
    for plain in plains:
        found |= {("domains", name, plain.column or "") for name in space.domains}
        found |= _of_attributes([plain.attribute] if plain.attribute else [])
    for history in features.history.values():
        found |= {("events", history.events, column) for column in history.sums} | _of_attributes(history.keys)
    for sequence in features.sequence.values():
        ids = [part.column for part in sequence.ids.values()]
        found |= {("events", sequence.events, column) for column in (*sequence.dense, *ids) if "." not in column}
        found |= _of_attributes(ids)
    # Keys are in every table, and a domain has but the columns that it declares.
    return found & _declared(space)


def _of_attributes(paths: Collection[str]) -> set[tuple[str, str, str]]:
    return {("attributes", *path.split(".", 1)) for path in paths if "." in path}  # type: ignore[misc]


def _restamp_others(target: Target, made: Collection[str], run: Run) -> None:
    """The next night goes on from all tables under the space file as it is now."""
    for uri in target.tables:
        found = published(uri)
        if found is None or found.through is None or uri in made:
            continue
        if found.plan != target.table_plan(uri):
            restamp(found, target.table_plan(uri), run.id)


def backfill(
    feature: Annotated[
        list[str],
        typer.Option("--feature", help="A feature, or a column of one; may be repeated."),
    ],
    space: options.Space = options.DEFAULT_SPACE,
    warehouse: options.Warehouse = options.DEFAULT_WAREHOUSE,
    group: options.Group = options.DEFAULT_GROUP,
    sample: options.Sample = None,
) -> None:
    """Compute a feature that was added or changed for all rows that are there; every other column keeps its values.

    The result is what a whole build under the space file would give.

    Examples:

      lattice backfill --feature weekday --space my_space.yaml --warehouse /data/warehouse

      lattice backfill --feature pair --feature pair_share
    """
    if backfill_features(Target.parse(space, warehouse, group, sample), feature):
        say(f"backfill: {', '.join(feature)} is in every row")
    else:
        say(f"backfill: {', '.join(feature)} had been computed before; nothing changed")


if __name__ == "__main__":
    options.script(backfill)
