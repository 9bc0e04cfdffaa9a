"""The report of a selection as one self-contained page, and the CSV beside it.

Plotly and the list of features are packed within the page, so that it stays small with thousands of features. The same
arguments give the same bytes.
"""

import io

from markupsafe import Markup
from plotly.offline import get_plotlyjs
from pyarrow import csv

from pipelines.report import formats, palette
from pipelines.report.blocks import Section, Tile
from pipelines.report.pages import as_json, asset, environment, packed, script_hash
from pipelines.report.selection.facts import Facts
from pipelines.report.selection.kept_panels import frontiers_panel, kept_panel, kinds_panel, stability_panel
from pipelines.report.selection.tables import (
    COLUMNS,
    as_table,
    costs_table,
    listed,
    reasons_table,
    settings_table,
    tasks_table,
)
from pipelines.report.selection.task_panels import heat_panel, pairs_panel, parallel_panel


def selection_page(facts: Facts, csv_name: str) -> str:
    """The page; ``csv_name`` is what the file beside it is called."""
    sections = _sections(facts)
    twins = palette.twins(0)
    features, texts = listed(facts)
    figures = {key: chart.figure for section in sections for key, chart in section.charts().items()}
    data = as_json({"figures": figures, "twins": twins, "features": features, "texts": texts})
    library, script = get_plotlyjs(), asset("draw.js") + asset("selection.js")
    return (
        environment()
        .get_template("selection.html")
        .render(
            facts=facts,
            made=formats.moment(facts.selection.made_at),
            tiles=_tiles(facts),
            sections=sections,
            columns=COLUMNS,
            csv=csv_name,
            twins=twins,
            css=Markup(asset("report.css")),
            hashes=(script_hash(library), script_hash(script)),
            data=packed(data),
            library=packed(library),
            script=Markup(script),
        )
    )


def selection_csv(facts: Facts) -> str:
    """A row a feature, with every importance and its standard error."""
    text = io.BytesIO()
    csv.write_csv(as_table(facts), text)
    return text.getvalue().decode()


def _tiles(facts: Facts) -> tuple[Tile, ...]:
    chosen, kept = int(facts.chosen.sum()), facts.kept_now
    worst = int(kept.argmin())
    all_bytes, bytes_kept = int(facts.row_bytes.sum()), int(facts.row_bytes[facts.chosen].sum())
    found = [
        Tile(label="Chosen", value=formats.count(chosen), detail=f"of {len(facts.names):,} candidates; target "
             f"{facts.selection.target:,}"),
        Tile(label="Importance kept", value=formats.percent(float(kept.mean())), detail="mean over tasks"),
        Tile(label="Least kept", value=formats.percent(float(kept[worst])), detail=f"by {facts.tasks[worst]}"),
        Tile(label="Bytes saved", value=formats.percent(formats.share(all_bytes - bytes_kept, all_bytes)),
             detail="of a training row's features, before compression"),
    ]  # fmt: skip
    if facts.compute.any():
        saved = 1 - float(facts.compute[facts.chosen].sum() / facts.compute.sum())
        found.append(Tile(label="Compute saved", value=formats.percent(saved), detail="of what is declared"))
    again = float(facts.share[facts.chosen].mean())
    found.append(
        Tile(
            label="Chosen again",
            value=formats.percent(again),
            detail=f"of them, under {facts.resamples} draws of noise",
        )
    )
    return tuple(found)


def _sections(facts: Facts) -> tuple[Section, ...]:
    pairs = (pairs_panel(facts),) if len(facts.tasks) > 1 else ()
    return (
        Section(
            key="kept",
            title="What is kept",
            lead=" ".join([*facts.warnings, "How much importance so many features keep, for each task."]),
            blocks=(kept_panel(facts), tasks_table(facts), costs_table(facts)),
        ),
        Section(
            key="why",
            title="What was left out",
            lead="Every candidate was decided on for one reason.",
            blocks=(reasons_table(facts), frontiers_panel(facts), stability_panel(facts), kinds_panel(facts)),
        ),
        Section(
            key="tasks",
            title="Features and tasks",
            lead="Where tasks want different features, frontiers keep the best of each.",
            blocks=(heat_panel(facts), *pairs, parallel_panel(facts)),
        ),
        Section(
            key="made", title="How it was made", lead="From this it can be made again.", blocks=(settings_table(facts),)
        ),
    )
