from pathlib import Path

import pytest

from jobs import jars
from schemas.errors import LatticeError


@pytest.fixture
def bare_spark(tmp_path: Path) -> Path:
    """The environment's Spark without Delta's jars: links to everything else."""
    home = tmp_path / "spark"
    (home / "jars").mkdir(parents=True)
    for entry in jars.spark_home().iterdir():
        if entry.name != "jars":
            (home / entry.name).symlink_to(entry)
    for jar in (jars.spark_home() / "jars").iterdir():
        if not jar.name.startswith("delta-"):
            (home / "jars" / jar.name).symlink_to(jar)
    return home


def test_the_environment_has_every_jar() -> None:
    assert jars.unfit(jars.spark_home() / "jars") == []
    assert jars.install(jars.spark_home()) == []


def test_a_changed_jar_is_unfit(bare_spark: Path) -> None:
    (bare_spark / "jars" / "delta-storage-4.0.1.jar").write_bytes(b"not that jar")
    assert jars.unfit(bare_spark / "jars") == ["delta-spark_2.13-4.0.1.jar", "delta-storage-4.0.1.jar"]


def test_a_failed_fetch_says_what_to_do_and_leaves_nothing(bare_spark: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DEFAULT_ARTIFACT_REPOSITORY", "http://127.0.0.1:9/")
    with pytest.raises(LatticeError, match=r"could not fetch io\.delta:delta-spark") as raised:
        jars.install(bare_spark)
    assert "DEFAULT_ARTIFACT_REPOSITORY" in raised.value.remedy
    assert not list((bare_spark / "jars").glob("delta-*"))
