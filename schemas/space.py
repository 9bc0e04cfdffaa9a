"""The model space: domains, objectives, features, groups and rules, as one frozen description.

Everything downstream is driven by it (paper 3.1, 3.2). ``schemas.space_file`` reads it from YAML;
``schemas.features`` expands its feature declarations into columns.
"""

from datetime import date, datetime, time, timedelta
from functools import cached_property
from itertools import pairwise
from typing import Annotated, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, field_validator, model_validator

from schemas.duration import Duration, format_duration

Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$")]
ColumnType = Literal["string", "long", "double", "timestamp"]
TableFormat = Literal["csv", "json", "parquet", "delta"]
Epoch = Literal["s", "ms", "us"]
ALL: Literal["all"] = "all"


def known_zone(zone: str) -> str:
    """Return the zone; ValueError if there is none of that name."""
    try:
        ZoneInfo(zone)
    except (ZoneInfoNotFoundError, ValueError):
        raise ValueError("not a time zone of the IANA database, such as America/New_York") from None
    return zone


Zone = Annotated[str, AfterValidator(known_zone)]


def _check_ordered(windows: tuple[timedelta, ...]) -> None:
    for shorter, longer in pairwise(windows):
        if shorter >= longer:
            raise ValueError(
                f"must be ordered from the shortest to the longest, each once: "
                f"{format_duration(shorter)} comes before {format_duration(longer)}"
            )


class Declared(BaseModel):
    """The base of everything that a space file declares: frozen, and an unknown key is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class TableFile(Declared):
    """Where the ``files`` source finds a table and what its columns are called there."""

    path: str = Field(description="File, folder or glob; relative paths start at the space file's folder.")
    format: TableFormat
    separator: str = Field(default=",", min_length=1, description="CSV only: what stands between two fields.")
    columns: dict[str, str | Annotated[tuple[str, ...], Field(min_length=1)]] = Field(
        default={},
        description="Our column name -> the file's column name; source_key may be made of several, a list of names.",
    )
    time_zone: Zone | None = Field(default=None, description="Zone of timestamps without one; default: the space's.")
    epoch: Epoch = Field(default="s", description="The unit of times that are numbers, counted from 1970-01-01 UTC.")
    version: int | None = Field(default=None, ge=0, description="Delta tables only: the version to read.")
    as_of: datetime | None = Field(
        default=None, description="Delta tables only: the version that was the latest at this instant (with a zone)."
    )

    @model_validator(mode="after")
    def _fitting(self) -> "TableFile":
        if self.format != "delta" and (self.version is not None or self.as_of is not None):
            raise ValueError("version and as_of are of Delta tables: set format: delta")
        if self.version is not None and self.as_of is not None:
            raise ValueError("give version or as_of, not both")
        if self.as_of is not None and self.as_of.tzinfo is None:
            raise ValueError("as_of needs a zone, such as 2024-05-01T00:00:00Z")
        if self.separator != "," and self.format != "csv":
            raise ValueError("separator is of CSV: set format: csv")
        for name, theirs in self.columns.items():
            if isinstance(theirs, tuple) and name != "source_key":
                raise ValueError(f"only source_key is made of several columns, and {name} is one")
        return self


class Source(Declared):
    """Which reader under pipelines/sources turns raw tables into impressions, feedback and events."""

    kind: Name = "files"
    path: str | None = Field(default=None, description="A folder with the raw files, where the source needs one.")


class Observed(Declared):
    """The time range in which a table's rows were recorded: from (inclusive) to (exclusive)."""

    start: datetime = Field(alias="from")
    end: datetime = Field(alias="to")

    @model_validator(mode="after")
    def _ordered(self) -> "Observed":
        for moment in (self.start, self.end):
            if moment.tzinfo is None:
                raise ValueError("an observed range needs a zone, such as 2017-01-01T05:00:00Z")
        if self.start >= self.end:
            raise ValueError("'from' must lie before 'to'")
        return self


class Domain(Declared):
    """A surface. ``columns`` are what its impressions carry beside user, item and time."""

    description: str = ""
    columns: dict[Name, ColumnType] = {}
    impressions: TableFile | None = None


Origin = Annotated[
    tuple[Name, ...],
    Field(description="The domains that a table's rows were recorded in, where a privacy rule asks; [] for none."),
]


class ValueRange(Declared):
    """Which feedback counts, by its value: at least and at most so much, both ends included."""

    at_least: float | None = None
    at_most: float | None = None

    @model_validator(mode="after")
    def _some(self) -> "ValueRange":
        if self.at_least is None and self.at_most is None:
            raise ValueError("give at_least, at_most or both")
        if self.at_least is not None and self.at_most is not None and self.at_least > self.at_most:
            raise ValueError("at_least must not lie above at_most")
        return self

    def __str__(self) -> str:
        ends = (("at least", self.at_least), ("at most", self.at_most))
        return " and ".join(f"{word} {end:g}" for word, end in ends if end is not None)


class Objective(Declared):
    """What users do. With windows it is attributed over time; without, its label is complete at the impression."""

    description: str = ""
    domains: tuple[Name, ...] = Field(min_length=1)
    origin: Origin | Literal["row"] | None = Field(
        default=None, description="Where the feedback was recorded; row: the column domain of each row says it."
    )
    windows: tuple[Duration, ...] = ()
    match: Literal["user_item", "impression"] = Field(
        default="user_item",
        description="What ties feedback to an impression: the same user and item, or the impression's own key.",
    )
    attribution: Literal["every", "last"] = Field(
        default="every", description="Whether feedback credits every impression in reach, or only the last one."
    )
    value: ValueRange | None = Field(
        default=None, description="Only feedback whose value lies in this range counts: of stars, at_least: 4, say."
    )
    observed: Observed
    feedback: TableFile | None = None

    @model_validator(mode="after")
    def _windows_ordered(self) -> "Objective":
        _check_ordered(self.windows)
        if not self.windows and self.match != "impression":
            raise ValueError("an objective without windows is matched by the impression's key: set match: impression")
        return self

    @property
    def oracle(self) -> timedelta | None:
        """The longest window, whose head serves; None for an immediate objective."""
        return self.windows[-1] if self.windows else None


class Events(Declared):
    """A log of what users did with items: the raw material of history and sequence features."""

    description: str = ""
    origin: Origin | None = None
    columns: dict[Name, ColumnType] = {}
    table: TableFile | None = None


class Attributes(Declared):
    """Facts about users or items that do not change with time, one row a key."""

    description: str = ""
    origin: Origin | None = None
    key: Literal["user_id", "item_id"]
    columns: dict[Name, ColumnType]
    table: TableFile | None = None


class Cost(Declared):
    """What serving a feature takes, in units of the user's choice; the Filter may trade it off."""

    compute: float = Field(default=0.0, ge=0)
    storage: float = Field(default=0.0, ge=0)


class _Feature(Declared):
    domains: tuple[Name, ...] | Literal["all"] = ALL
    cost: Cost = Cost()
    delay: Duration | None = Field(
        default=None, description="How old what it says is when it is served: 1d, say, if a nightly job fills it."
    )


class Categorical(_Feature):
    """An id: a column of the impression, an attribute of its user or item, or a part of its local time."""

    column: str | None = Field(default=None, description="user_id, item_id or a declared impression column.")
    attribute: str | None = Field(default=None, description="ATTRIBUTES.COLUMN, such as household.age.")
    calendar: Literal["hour", "weekday", "day", "week", "month"] | None = None
    id_space: Name

    @model_validator(mode="after")
    def _one_origin(self) -> "Categorical":
        if sum(part is not None for part in (self.column, self.attribute, self.calendar)) != 1:
            raise ValueError("give exactly one of column, attribute, calendar")
        return self


class Dense(_Feature):
    """A number: a column of the impression or an attribute of its user or item."""

    column: str | None = None
    attribute: str | None = None

    @model_validator(mode="after")
    def _one_origin(self) -> "Dense":
        if (self.column is None) == (self.attribute is None):
            raise ValueError("give exactly one of column, attribute")
        return self


class History(_Feature):
    """Aggregates over the events of a key that had arrived strictly before the impression.

    Expands into one dense feature for each measure and horizon (``<name>_count_7d``, ``<name>_quantity_28d``),
    and, by option, days since the last event and the mean gap between events.
    """

    events: Name
    keys: tuple[str, ...] = Field(min_length=1, description="user_id, item_id and/or ATTRIBUTES.COLUMN.")
    horizons: tuple[Duration | Literal["all"], ...] = ("all",)
    count: bool = True
    sums: tuple[Name, ...] = ()
    recency: bool = True
    gap: bool = False
    measures: tuple[str, ...] | Literal["all"] = Field(
        default=ALL, description="Only these of its columns, by what follows the name: count_7d, quantity_all, recency."
    )

    @field_validator("horizons")
    @classmethod
    def _all_last(cls, horizons: tuple[timedelta | str, ...]) -> tuple[timedelta | str, ...]:
        _check_ordered(tuple(h for h in horizons if isinstance(h, timedelta)))
        if ALL in horizons[:-1]:
            raise ValueError("'all' is the longest horizon and comes last")
        return horizons


class Ratio(_Feature):
    """One dense feature over another, null where the second is null or zero."""

    numerator: Name
    denominator: Name


class SequenceId(Declared):
    """An id that each event of a sequence carries."""

    column: str = Field(description="item_id, a declared event column, or an item attribute ATTRIBUTES.COLUMN.")
    id_space: Name


class Sequence(_Feature):
    """The last ``length`` events of the user that had arrived strictly before the impression, newest first."""

    events: Name
    length: int = Field(ge=1, le=4096)
    ids: dict[Name, SequenceId] = Field(min_length=1)
    dense: tuple[Name, ...] = ()
    age: bool = Field(default=True, description="Adds the days between the event and the impression.")


class Features(Declared):
    """All candidate features of the space, by kind."""

    categorical: dict[Name, Categorical] = {}
    dense: dict[Name, Dense] = {}
    history: dict[Name, History] = {}
    ratio: dict[Name, Ratio] = {}
    sequence: dict[Name, Sequence] = {}


class WindowWeights(Declared):
    """How the Zipper shares impressions among the group's windows from a date on (shortest window first)."""

    start: date = Field(alias="from")
    values: tuple[Annotated[int, Field(gt=0)], ...]


class Group(Declared):
    """Portfolios that share one dataset, one feature selection and one model, with the Zipper's windows."""

    portfolios: tuple[str, ...] | Literal["all"] = Field(default=ALL, description="DOMAIN/OBJECTIVE each, or all.")
    windows: tuple[Duration, ...] = ()
    weights: tuple[WindowWeights, ...] = ()
    negatives: dict[Name, Annotated[float, Field(gt=0, le=1)]] = Field(
        default={},
        description="Domain -> the share of its rows without a positive label that training keeps, weighted by one "
        "over it; default: all of them.",
    )
    pool: float = Field(
        default=0.02,
        ge=0,
        le=1,
        description="The share of users whose rows keep every candidate feature while a selection is effective.",
    )

    @model_validator(mode="after")
    def _consistent(self) -> "Group":
        _check_ordered(self.windows)
        starts = [w.start for w in self.weights]
        if starts != sorted(set(starts)):
            raise ValueError("weights must be ordered by 'from', each date once")
        for weights in self.weights:
            if len(weights.values) != len(self.windows):
                raise ValueError(f"weights from {weights.start} name {len(weights.values)} values for "
                                 f"{len(self.windows)} windows")  # fmt: skip
        return self


class PrivacyRule(Declared):
    """What must not be shared between two domains; ``schemas.privacy`` says what follows.

    - ``labels``: no row of one carries a label made of feedback that was recorded in the other.
    - ``features``: no row of one carries a feature made of anything that was recorded in the other.
    - ``users``: a group's rows of the two cannot be linked by their users: ids differ, histories and feedback of the
      same person in the other domain are left out.
    """

    between: tuple[Name, Name]
    forbid: tuple[Literal["users", "features", "labels"], ...] = Field(min_length=1)

    @field_validator("between")
    @classmethod
    def _two(cls, between: tuple[str, str]) -> tuple[str, str]:
        if between[0] == between[1]:
            raise ValueError("a rule is between two different domains")
        return between


class DateRange(Declared):
    """Whole local days, both ends included."""

    start: date = Field(alias="from")
    end: date = Field(alias="to")

    @model_validator(mode="after")
    def _ordered(self) -> "DateRange":
        if self.start > self.end:
            raise ValueError("'from' must not lie after 'to'")
        return self


class Splits(Declared):
    """Evaluation ranges; a model judged on one is trained on rows available before that range begins."""

    validation: DateRange
    test: DateRange

    @model_validator(mode="after")
    def _ordered(self) -> "Splits":
        if self.validation.end >= self.test.start:
            raise ValueError("the validation range must end before the test range begins")
        return self


class Sample(Declared):
    """A deterministic share of the data: of users, or of each domain's impressions."""

    by: Literal["users", "impressions"]
    rates: dict[Name, Annotated[float, Field(gt=0, le=1)]] = Field(
        default={}, description="For impressions: a rate a domain; one that is not named is taken whole."
    )
    rate: Annotated[float, Field(gt=0, le=1)] = 1.0


class Slice(Declared):
    """Rows on which results are also reported: those whose dense feature has one value."""

    title: str = ""
    feature: Name
    equals: float
    domains: tuple[Name, ...] = Field(min_length=1)


class Thresholds(Declared):
    """How large a change may be: above ``warn`` the log says so, above ``stop`` nothing is published."""

    warn: float | None = Field(default=None, ge=0)
    stop: float | None = Field(default=None, ge=0)


class Drift(Declared):
    """What a night's rows may differ by from the last night's, beyond what chance explains (three standard errors)."""

    positive_rate: Thresholds = Field(default=Thresholds(warn=0.5), description="Of each label: as a share of it.")
    mean: Thresholds = Field(default=Thresholds(warn=1.0), description="Of each number: in its standard deviations.")
    null_share: Thresholds = Field(default=Thresholds(warn=0.1), description="Of each feature: as it is.")
    rows: Annotated[int, Field(ge=1)] = Field(
        default=1000, description="A domain with fewer rows on either night is left out."
    )


class ColumnRule(Declared):
    """What holds of a column of a raw table, beyond its type. A value that is empty breaks only ``nulls``."""

    min: float | None = None
    max: float | None = None
    values: tuple[str | float, ...] | None = Field(default=None, min_length=1, description="No others are allowed.")
    nulls: float | None = Field(
        default=None, ge=0, le=1, description="The share of the rows that a table gains which may lack it."
    )


class Quality(Declared):
    """What is wrong with a night that is still published; what it says of single rows decides which are kept."""

    quarantine: float = Field(
        default=0.001,
        ge=0,
        lt=1,
        description="The share of the rows that a raw table gains which may break an expectation: they are kept apart, "
        "with the reason. With more of them nothing is published; with 0 a single one is too many.",
    )
    drift: Drift = Drift()
    columns: dict[str, ColumnRule] = Field(
        default={}, description="By place, such as domains.feed.position, events.plays.seconds, attributes.clip.genre."
    )
    lacking: dict[Name, Annotated[float, Field(ge=0, le=1)]] = Field(
        default={},
        description="By table of attributes: the share of new impressions whose user or item it may know nothing of.",
    )

    @property
    def of_rows(self) -> str:
        """What decides which rows are kept, for comparison; empty if nothing does."""
        found = [(place, rule.min, rule.max, rule.values) for place, rule in sorted(self.columns.items())]
        return str([part for part in found if any(limit is not None for limit in part[1:])] or "")


class ModelSpace(Declared):
    """A whole space file."""

    name: Name
    title: str = ""
    source: Source = Source()
    time_zone: Zone = "UTC"
    id_spaces: dict[Name, Annotated[int, Field(ge=2)]] = Field(
        description="Rows of the embedding table of each kind of id; row 0 means absent."
    )
    domains: dict[Name, Domain] = Field(min_length=1)
    objectives: dict[Name, Objective] = Field(min_length=1)
    events: dict[Name, Events] = {}
    attributes: dict[Name, Attributes] = {}
    features: Features
    groups: dict[Name, Group] = {"all": Group()}
    privacy: tuple[PrivacyRule, ...] = ()
    splits: Splits
    quality: Quality = Quality()
    samples: dict[Name, Sample] = {}
    slices: dict[Name, Slice] = {}

    @model_validator(mode="after")
    def _references(self) -> "ModelSpace":
        from schemas.references import check_references

        check_references(self)
        return self

    @cached_property
    def zone(self) -> ZoneInfo:
        return ZoneInfo(self.time_zone)

    def instant(self, day: date) -> datetime:
        """The first instant of a local day."""
        return datetime.combine(day, time.min, tzinfo=self.zone)

    def cut(self, split: str) -> datetime:
        """Rows available before this instant may train the model that is judged on ``split``."""
        return self.instant(getattr(self.splits, split).start)

    def range_of(self, split: str) -> tuple[datetime, datetime]:
        """The first instant of a split's range and the first one after it."""
        days: DateRange = getattr(self.splits, split)
        return self.instant(days.start), self.instant(days.end + timedelta(days=1))

    def portfolios(self, group: str) -> tuple[tuple[str, str], ...]:
        """The (domain, objective) pairs of a group, in the order of the file."""
        every = [(d, name) for name, objective in self.objectives.items() for d in objective.domains]
        chosen = self.groups[group].portfolios
        return tuple(pair for pair in every if chosen == ALL or "/".join(pair) in chosen)

    def group_domains(self, group: str) -> tuple[str, ...]:
        used = {domain for domain, _ in self.portfolios(group)}
        return tuple(domain for domain in self.domains if domain in used)

    def group_objectives(self, group: str) -> tuple[str, ...]:
        used = {objective for _, objective in self.portfolios(group)}
        return tuple(objective for objective in self.objectives if objective in used)
