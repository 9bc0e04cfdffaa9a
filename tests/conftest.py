"""One Spark session for all tests."""

from collections.abc import Iterator

import pytest
from pyspark.sql import SparkSession

from pipelines.session import spark_session


@pytest.fixture(scope="session")
def spark() -> Iterator[SparkSession]:
    session = spark_session("tests")
    session.conf.set("spark.sql.shuffle.partitions", "3")
    yield session
    session.stop()
