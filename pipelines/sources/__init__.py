"""Sources: raw tables in, the impressions, feedback, events and attributes of a space out.

Only modules of this folder may name a data set. A source is a function of a session, a space and the folder of the
space file (where relative paths start); its name is the ``source.kind`` of a space file.
"""

from collections.abc import Callable
from pathlib import Path

from pyspark.sql import SparkSession

from pipelines.sources import complete_journey, files, kuaivideo
from pipelines.sources.base import SourceTables
from pipelines.sources.identity import RawFile, files_identity, raw_files
from pipelines.sources.opening import resolve
from pipelines.spans import EVER, Span
from schemas.errors import LatticeError
from schemas.space import ModelSpace, Sample

_SOURCES: dict[str, Callable[[SparkSession, ModelSpace, Path, Span, Sample | None], SourceTables]] = {
    "complete_journey": complete_journey.read,
    "files": files.read,
    "kuaivideo": kuaivideo.read,
}


def read_source(
    spark: SparkSession, space: ModelSpace, folder: Path, span: Span = EVER, sample: Sample | None = None
) -> SourceTables:
    """The raw tables of ``space``; the session's time zone must be UTC.

    ``span`` and ``sample`` are hints: rows that arrive outside the span, or that the sample leaves out, may be missing,
    where that saves reading.

    Raises:
        LatticeError: the kind of source is not known, or its data does not fit what the space declares.
    """
    if space.source.kind not in _SOURCES:
        raise LatticeError(
            f"source.kind of the space '{space.name}'",
            f"There is no source '{space.source.kind}'.",
            f"Allowed: {', '.join(_SOURCES)}.",
        )
    return _SOURCES[space.source.kind](spark, space, folder, span, sample)


def may_add_to_the_past(space: ModelSpace) -> bool:
    """Whether rows of past days may still be delivered: files that someone goes on writing."""
    return space.source.kind == "files"


def source_identity(space: ModelSpace, folder: Path) -> str:
    """Changes when the raw files of ``space`` do; a build with the same one may be skipped."""
    return files_identity(source_files(space, folder))


def source_files(space: ModelSpace, folder: Path) -> list[RawFile]:
    """The raw files of ``space``."""
    declared = [
        *(domain.impressions for domain in space.domains.values()),
        *(objective.feedback for objective in space.objectives.values()),
        *(events.table for events in space.events.values()),
        *(attributes.table for attributes in space.attributes.values()),
    ]
    paths = [resolve(file.path, folder) for file in declared if file is not None]
    if space.source.kind == "complete_journey":
        paths.append(complete_journey.data_path(space, folder))
    if space.source.kind == "kuaivideo":
        paths.append(kuaivideo.data_path(space, folder))
    return raw_files(paths)
