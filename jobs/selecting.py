"""Makes a selection of features, publishes it, and writes its report."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np
from pyspark.sql import DataFrame

from jobs.models import current_manifest, live_manifests, model_folder
from jobs.runs import running
from jobs.spark_errors import explained
from jobs.target import Target, fingerprint
from lattice_model.training.checkpoint import read_manifest
from lattice_model.training.trainer import CHECKPOINT
from pipelines.deciding import Choice, Wishes, choose, chosen_share, in_order, resamples_for
from pipelines.importances import Importances, importances
from pipelines.layout import row_bytes
from pipelines.selections import find_selection, next_version, selection_rows
from pipelines.session import spark_session
from pipelines.tables import Published, join_uri, publish, published, read_rows, require
from pipelines.warehouse import write_text
from schemas.errors import LatticeError
from schemas.expectations import selection_suite
from schemas.selection import Selection


@dataclass(frozen=True, kw_only=True, eq=False)
class Selected:
    """A selection that was published, and what it was made of."""

    selection: Selection
    choice: Choice
    found: Importances
    wishes: Wishes
    coverage: Mapping[str, float]


def select_features(
    target: Target, wishes: Wishes, start: datetime | None = None, run: str | None = None, unpin: bool = False
) -> Selected:
    """Choose, and publish the choice as the next version of ``selection``.

    Args:
        start: the day from which it is effective; None for today (UTC).
        run: an importance run; None for the latest.
        unpin: do not go on computing what live models read.
    """
    uri, table = target.group_table("selection"), require(target.group_table("importance"), "lattice importance")
    found = importances(read_rows(table), target.space, run)
    coverage = _coverage(target, found.model)
    choice = choose(found, wishes, coverage, frozenset() if unpin else _live(target))
    if not choice.chosen:
        problem = "No feature was chosen: none has an importance above noise, or --target is 0."
        raise LatticeError("lattice select", problem, "Measure importance on more rows, or lower --z.")
    now = datetime.now(UTC)
    with running(target, "select") as held:
        selection = Selection(
            version=next_version(uri),
            effective_from=(start or now).date(),
            made_at=now,
            target=wishes.target,
            seed=wishes.seed,
            z=wishes.z,
            criteria=wishes.criteria,
            options=wishes.described,
            run_id=found.run_id,
            model=found.model,
            importance_version=table.version,
            data_version=found.data_version,
            decisions=choice.decisions,
        )
        _publish(target, selection, held.id)
    return Selected(selection=selection, choice=choice, found=found, wishes=wishes, coverage=coverage)


def select_again(target: Target, version: int, start: datetime | None = None, unpin: bool = False) -> Selection:
    """Publish the choice of an earlier selection as the next version; what live models read is that of now."""
    uri, now = target.group_table("selection"), datetime.now(UTC)
    before = find_selection(uri, version)
    live = frozenset() if unpin else _live(target)
    decisions = tuple(
        decision.model_copy(update={"pinned": decision.feature in live and not decision.chosen})
        for decision in before.decisions
    )
    changed = {"effective_from": (start or now).date(), "made_at": now, "decisions": decisions}
    with running(target, "select") as held:
        selection = before.model_copy(update={**changed, "version": next_version(uri)})
        _publish(target, selection, held.id)
    return selection


def write_selection_report(target: Target, made: Selected) -> str:
    """Write the page and the CSV of a selection beside the table; return the page's URI."""
    from pipelines.report.selection.facts import Facts  # Plotly takes a second to import
    from pipelines.report.selection.page import selection_csv, selection_page

    sizes, resamples = row_bytes(target.space), resamples_for(made.found)
    facts = Facts(
        space=target.space.name,
        title=target.space.title or target.space.name,
        group=target.group,
        selection=made.selection,
        found=made.found,
        sizes=made.choice.selection.sizes,
        order=in_order(made.found, made.wishes, made.coverage),
        share=chosen_share(made.found, made.wishes, made.coverage, resamples),
        resamples=resamples,
        row_bytes=np.array([sizes[name] for name in made.found.names]),
        warnings=made.choice.selection.warnings,
    )
    folder, name = target.group_table("selections"), f"selection-{made.selection.version}"
    page = join_uri(folder, f"{name}.html")
    write_text(join_uri(folder, f"{name}.csv"), selection_csv(facts))
    write_text(page, selection_page(facts, f"{name}.csv"))
    return page


def _publish(target: Target, selection: Selection, run: str) -> None:
    from pipelines.quality import check  # Great Expectations takes seconds to import

    def checked(rows: DataFrame, _: Published) -> None:
        check(rows, "selection", selection_suite(), ("version", "feature"))

    with explained():
        publish(
            selection_rows(spark_session("select"), selection).coalesce(1),
            target.group_table("selection"),
            fingerprint=fingerprint(selection.model_dump_json()),
            check=checked,
            append=True,
            run=run,
        )


def _live(target: Target) -> frozenset[str]:
    """The features that live models read."""
    return frozenset(name for manifest in live_manifests(target).values() for name in manifest.features())


def _coverage(target: Target, model: str) -> Mapping[str, float]:
    """The share of rows in which each number is known: as the model was trained on, or else as it is published now."""
    folder = model_folder(target, model) / CHECKPOINT
    if folder.is_dir():
        manifest = read_manifest(folder)
    elif published(target.group_table("training")) is not None:
        manifest = current_manifest(target)
    else:
        return {}
    return {name: normaliser.known for name, normaliser in manifest.normalisers["validation"].items()}
