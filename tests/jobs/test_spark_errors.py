"""What a user can mend is one message, whoever meets it: Spark, Delta's log, or a small file."""

import errno
import os

import pytest

from jobs.spark_errors import explained
from schemas.errors import LatticeError


def test_a_full_disk_is_named_by_whoever_meets_it() -> None:
    with pytest.raises(LatticeError, match="The disk is full"), explained():
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    with pytest.raises(LatticeError, match="The disk is full") as error, explained():
        raise RuntimeError("Generic LocalFileSystem error: file:/w/t/_delta_log/0.json: No space left on device")
    assert error.value.place.startswith("file:/w/t/_delta_log/0.json")


def test_others_pass() -> None:
    for other in (KeyError("x"), LatticeError("a", "No space left on device", "c")):
        with pytest.raises(type(other)) as error, explained():
            raise other
        assert error.value is other
