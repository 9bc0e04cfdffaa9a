"""One Spark session for all tests, and no test that a busy machine fails."""

import os
from collections.abc import Iterator

import hypothesis
import pytest
from pyspark.sql import SparkSession

from pipelines.session import spark_session

# A test's queries run once: what the optimizing compiler of the JVM takes is never paid back. Without that compiler it
# would keep 48 MB of code at most, which these many queries fill, and would interpret the rest.
_JAVA = "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC -XX:ReservedCodeCacheSize=400m"
os.environ.setdefault("LATTICE_JAVA_OPTIONS", _JAVA)
# Two workers of pytest share the cores; threads that wait for each other would take more than they give.
os.environ.setdefault("OMP_NUM_THREADS", "1")

hypothesis.settings.register_profile("lattice", deadline=None)
hypothesis.settings.load_profile("lattice")


@pytest.fixture(scope="session")
def spark() -> Iterator[SparkSession]:
    session = spark_session("tests")
    session.conf.set("spark.sql.shuffle.partitions", "3")
    yield session
    session.stop()
