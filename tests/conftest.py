"""One Spark session for all tests, and no test that a busy machine fails."""

from collections.abc import Iterator

import hypothesis
import pytest
from pyspark.sql import SparkSession

from pipelines.session import spark_session

hypothesis.settings.register_profile("lattice", deadline=None)
hypothesis.settings.load_profile("lattice")


@pytest.fixture(scope="session")
def spark() -> Iterator[SparkSession]:
    session = spark_session("tests")
    session.conf.set("spark.sql.shuffle.partitions", "3")
    yield session
    session.stop()
