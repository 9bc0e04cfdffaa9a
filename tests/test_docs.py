"""What the documents show exists: space files load, commands and files are there."""

import re
from pathlib import Path

import pytest
import yaml

from jobs.cli import COMMANDS
from jobs.model_config import ModelConfig
from lattice_model.models import MODELS
from lattice_model.network.config import Hyperparameters
from lattice_model.training.config import EarlyStopping, Precision, TrainingConfig
from lattice_model.training.gates import Gates
from schemas.space import Quality
from schemas.space_file import load_space

ROOT = Path(__file__).parents[1]
DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]


def blocks(path: Path, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", path.read_text(), re.DOTALL)


def test_the_space_file_of_the_guide_loads(tmp_path: Path) -> None:
    found = blocks(ROOT / "docs" / "space-file.md", "yaml")
    assert len(found) == 1
    path = tmp_path / "shop.yaml"
    path.write_text(found[0])
    assert load_space(path).portfolios("all") == (
        ("feed", "click"), ("search", "click"), ("feed", "order"), ("search", "order"),
    )  # fmt: skip


def test_the_page_on_models_lists_them_and_its_settings_are_read(tmp_path: Path) -> None:
    page = ROOT / "docs" / "models.md"
    assert re.findall(r"^\| `(\w+)` \|", page.read_text(), re.MULTILINE) == list(MODELS)
    path = tmp_path / "settings.yaml"
    first, parts, second = blocks(page, "yaml")
    path.write_text(first)
    settings = ModelConfig.read(path)
    assert (settings.model, settings.training.epochs, settings.network.rank) == ("dcnv2", 2, 64)
    path.write_text(parts)
    assert ModelConfig.read(path).network.towers == "domain"
    path.write_text(second)
    assert ModelConfig.read(path).training.optimizer == "soap"
    named = set(re.findall(r"`([a-z]+(?:_[a-z]+)*)`", page.read_text().split("## Supervision")[1].split("```")[0]))
    assert set(TrainingConfig.model_fields) >= named - {"training", "shampoo"} > {"metabalance", "label_smoothing"}


def test_the_parts_that_can_be_switched_are_on_the_page_on_models() -> None:
    section = (ROOT / "docs" / "models.md").read_text().split("## Parts of the Lattice Network")[1].split("```")[0]
    named = set(re.findall(r"`([a-z]+(?:_[a-z]+)*)[`:,]", section))
    assert set(Hyperparameters.model_fields) >= named - {"network", "sigmoid", "shared"}
    assert named > {"cross_attention", "untied_layers", "towers", "query_key_norm", "norm_block"}


def test_the_settings_of_the_page_on_trust_are_read_and_are_the_defaults_but_for_the_stops() -> None:
    first, rules, second = (yaml.safe_load(block)["quality"] for block in blocks(ROOT / "docs" / "trust.md", "yaml"))
    assert Quality.model_validate(first) == Quality()
    assert len(Quality.model_validate(rules).columns) == 3
    shown = Quality.model_validate(second).drift
    assert (shown.positive_rate.stop, shown.null_share.stop) == (2.0, 0.5)
    silent = {name: getattr(shown, name).model_copy(update={"stop": None}) for name in ("positive_rate", "null_share")}
    assert shown.model_copy(update=silent) == Quality().drift


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_commands_and_links_exist(document: Path) -> None:
    text = document.read_text()
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert set(re.findall(r"(?:^|`)make ([a-z]+)", text, re.MULTILINE)) <= targets
    assert set(re.findall(r"(?:^|`)lattice ([a-z-]+)", text, re.MULTILINE)) <= set(COMMANDS)
    for job in re.findall(r"jobs/\w+\.py", text):
        assert (ROOT / job).is_file(), job
    for link in re.findall(r"\]\(([^)#:]+)\)", text):
        assert (document.parent / link).exists(), link
    assert "@@" not in text


def test_the_page_on_training_shows_settings_that_are_read(tmp_path: Path) -> None:
    page = ROOT / "docs" / "training.md"
    stopping, precision, gates = blocks(page, "yaml")
    path = tmp_path / "settings.yaml"
    path.write_text(precision)
    read = ModelConfig.read(path).training.precision
    assert read == Precision(processors="bf16", transformer="fp8", fusion="fp8", heads="fp8")
    path.write_text(stopping + gates)
    settings = ModelConfig.read(path)
    assert settings.training.early_stopping == EarlyStopping(every=100, patience=3)
    assert settings.gates == Gates()
    table = page.read_text().split("## Settings")[1].split("\n[models.md]")[0]
    named = {name for row in re.findall(r"^\| (`.*?`) \|", table, re.MULTILINE) for name in re.findall(r"`(\w+)`", row)}
    assert named <= set(TrainingConfig.model_fields) and len(named) >= 10
