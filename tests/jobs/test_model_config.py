"""The settings of a model: by name, by file, and what is said of mistakes."""

from pathlib import Path

import pytest

from jobs.model_config import ModelConfig
from lattice_model.baselines.dlrm import DLRMHyperparameters
from lattice_model.network.config import Hyperparameters
from lattice_model.training.config import TrainingConfig
from schemas.errors import LatticeError


def written(folder: Path, text: str) -> Path:
    path = folder / "settings.yaml"
    path.write_text(text)
    return path


def test_the_defaults_are_the_lattice_network_s() -> None:
    settings = ModelConfig.read()
    assert (settings.model, settings.training, settings.network) == ("lattice", TrainingConfig(), Hyperparameters())


def test_a_file_names_a_model_and_its_settings(tmp_path: Path) -> None:
    path = written(tmp_path, "model: dlrm\ntraining: {epochs: 3}\nnetwork: {dim: 8, top_widths: [32]}\n")
    settings = ModelConfig.read(path)
    assert (settings.model, settings.training.epochs) == ("dlrm", 3)
    assert settings.network == DLRMHyperparameters(dim=8, top_widths=(32,))


def test_the_option_goes_before_the_file(tmp_path: Path) -> None:
    assert ModelConfig.read(written(tmp_path, "model: dlrm\n"), "wukong").model == "wukong"
    assert ModelConfig.read(written(tmp_path, ""), "bst").model == "bst"


@pytest.mark.parametrize(
    ("text", "place", "allowed"),
    [
        ("model: dlm\n", "settings.yaml, model", "lattice, afn, autoint, dlrm"),
        ("model: dlrm\nnetwork: {fmb_tokens: 3}\n", "network.fmb_tokens", "bottom_widths, top_widths"),
        ("model: wukong\nnetwork: {fmb_tokens: 0}\n", "network.fmb_tokens", "such as 8"),
        ("modle: dlrm\n", "settings.yaml, modle", "model, training, network"),
        ("- model\n", "settings.yaml", "model, training, network"),
        ("model: autoint\nnetwork: {heads: 3}\n", "hyperparameter width", "Change either"),
    ],
)
def test_mistakes_are_told_with_what_is_allowed(tmp_path: Path, text: str, place: str, allowed: str) -> None:
    with pytest.raises(LatticeError) as caught:
        ModelConfig.read(written(tmp_path, text))
    assert place in caught.value.place
    assert allowed in caught.value.remedy


def test_an_unknown_name_lists_the_known_ones() -> None:
    with pytest.raises(LatticeError, match=r"--model\n.*'deepfm'.*\n.*lattice, afn.*wukong"):
        ModelConfig.read(None, "deepfm")
