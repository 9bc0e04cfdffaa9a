"""The columns of the tables that a source gives, as plain data."""

from dataclasses import dataclass

from schemas.space import Attributes, ColumnType, Domain, Events


@dataclass(frozen=True, kw_only=True)
class TableColumn:
    """One column: its name, its type (times are UTC, in microseconds) and whether a row may lack it."""

    name: str
    type: ColumnType
    nullable: bool = False


def _columns(nullable: bool = False, /, **types: ColumnType) -> tuple[TableColumn, ...]:
    return tuple(TableColumn(name=name, type=kind, nullable=nullable) for name, kind in types.items())


IMPRESSION = _columns(
    source_key="string", user_id="string", item_id="string", impression_time="timestamp", arrival_time="timestamp"
)
"""What every domain's impressions have; ``source_key`` is unique in its domain."""

FEEDBACK = (
    *_columns(user_id="string", item_id="string", feedback_time="timestamp", arrival_time="timestamp"),
    *_columns(True, source_key="string", domain="string", value="double"),
)
"""``source_key`` and ``domain`` name the impression that feedback answers, where the objective is matched by it."""

EVENT = _columns(user_id="string", item_id="string", event_time="timestamp", arrival_time="timestamp")


def impression_columns(domain: Domain) -> tuple[TableColumn, ...]:
    """The columns of one domain's impressions: the common ones, then those that it declares."""
    return (*IMPRESSION, *_columns(True, **domain.columns))


def event_columns(events: Events) -> tuple[TableColumn, ...]:
    """The columns of one event table: the common ones, then those that it declares."""
    return (*EVENT, *_columns(True, **events.columns))


def attribute_columns(attributes: Attributes) -> tuple[TableColumn, ...]:
    """The columns of one attribute table: its key, then what it declares."""
    return (TableColumn(name=attributes.key, type="string"), *_columns(True, **attributes.columns))
