"""Turns failures of Spark, Delta and the system that a user can mend into one message."""

import re
from collections.abc import Iterator
from contextlib import contextmanager

from py4j.protocol import Py4JError
from pyspark.errors import PySparkException

from schemas.errors import LatticeError

_FULL = (
    r"No space left on device|Disk quota exceeded",
    "The disk is full",
    "Free some disk, or set SPARK_LOCAL_DIRS.",
)
_DENIED = (r"Permission denied", "A file or folder cannot be accessed", "Check its permissions.")
_CAUSES = (
    _FULL,
    (
        r"is not a Parquet file|Could not read footer|CANNOT_READ_FILE_FOOTER|FAILED_READ_FILE|Expected magic number",
        "A file cannot be read; it is truncated or not what its name says",
        "Restore the file from where it came, then run again.",
    ),
    (r"OutOfMemoryError", "Spark ran out of memory", "Give it more with LATTICE_DRIVER_MEMORY=8g, or take a --sample."),
    (
        r"ConcurrentAppendException|ConcurrentWriteException|DELTA_CONCURRENT|MetadataChangedException",
        "Another run wrote the same table meanwhile; nothing of this run was published there",
        "Run again when the other one has finished.",
    ),
    _DENIED,
)
_FILE = re.compile(r"(?:file:|s3a?:|hdfs:|gs:|abfss?:)/[^\s'\",;)]+")


@contextmanager
def explained() -> Iterator[None]:
    """Raise LatticeError in place of a failure whose cause is known; others pass."""
    try:
        yield
    except LatticeError:
        raise
    except Exception as error:
        text = str(error)
        of_spark = isinstance(error, PySparkException | Py4JError)
        for pattern, problem, remedy in _CAUSES if of_spark else (_FULL, _DENIED):
            if re.search(pattern, text):
                files = _FILE.findall(text)
                place = files[0].rstrip(".") if files else "Spark" if of_spark else "the warehouse"
                raise LatticeError(place, f"{problem}.", remedy) from error
        raise
