"""Spaces that look nothing like the first go the whole way with a YAML file only: build, train, evaluate."""

from pathlib import Path

import pytest
from pyspark.sql import SparkSession

from jobs.build import STAGES
from jobs.evaluate import evaluate_model
from jobs.model_config import ModelConfig
from jobs.stages import run_stages
from jobs.target import Target
from jobs.train import train_model
from tests.spaces.others import WRITERS, write_other

SETTINGS = """
training: {batch_size: 128, epochs: 1}
network: {layers: 1, dim: 8}
"""


@pytest.mark.parametrize("name", WRITERS)
def test_another_space_goes_the_whole_way(spark: SparkSession, tmp_path: Path, name: str) -> None:
    space, counts = write_other(name, tmp_path)
    target = Target.parse(str(space), str(tmp_path / "warehouse"), "all")
    run_stages(target, STAGES)
    settings = tmp_path / "settings.yaml"
    settings.write_text(SETTINGS)
    folder = train_model(target, "test", ModelConfig.read(settings))
    report = evaluate_model(folder, target.space)
    found = {(p.domain, p.objective): (p.rows, p.positives) for p in report.slices[0].portfolios}
    assert found == counts
    assert all(positives > 0 for _, positives in found.values())
