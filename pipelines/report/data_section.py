"""The report's chapter on the data: what came in, what the Zipper made of it, and how often users convert."""

from pipelines.report import data_panels, data_tables, week_panels
from pipelines.report.blocks import Panel, Section, Table
from pipelines.report.palette import Looks
from pipelines.report.totals import head_totals
from schemas.report import ReportStatistics


def data_section(statistics: ReportStatistics, looks: Looks) -> Section:
    """Every plot and table that has something to show."""
    blocks: list[Panel | Table] = []
    if statistics.windows and statistics.zipper:
        blocks.append(data_panels.zipper_panel(statistics, looks))
    curves = tuple(curve for curve in statistics.delays if curve.conversions[-1])
    if curves:
        blocks.append(data_panels.delay_panel(curves, statistics, looks))
    if statistics.windows and statistics.zipper:
        blocks.append(data_tables.zipper_table(statistics))
    if curves:
        blocks.append(data_tables.delay_table(curves, statistics.windows))
    heads = head_totals(statistics.labels)
    if heads:
        blocks += [data_panels.rates_panel(heads, looks), data_tables.heads_table(heads)]
    if statistics.weeks:
        blocks.append(week_panels.rows_panel(statistics, looks))
    if heads:
        blocks.append(week_panels.rates_panel(statistics.labels, looks))
    tables = (
        data_tables.impressions_table(statistics.impressions),
        data_tables.feedback_table(statistics.feedback),
        data_tables.evaluation_table(statistics.evaluation),
    )
    return Section(
        key="data",
        title="The data",
        lead="An impression is one item shown to one user. The Zipper gives each impression one attribution window, "
        "and its labels say what the user had done by the end of that window.",
        blocks=(*blocks, *(table for table in tables if table.rows)),
    )
