"""Checkpoints come back as they went, and a bad one is told apart."""

from pathlib import Path

import pytest
import torch

from lattice_model.training.checkpoint import Checkpoint, load, save
from schemas.errors import LatticeError
from tests.lattice_model.factories import make_batch
from tests.lattice_model.training.runs import CONFIG, MANIFEST, network


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "runs" / "checkpoint"
    save(folder, Checkpoint(network=network(), training=CONFIG, manifest=MANIFEST, split="test"))
    return folder


def test_it_comes_back_with_the_same_logits(folder: Path) -> None:
    batch = make_batch(MANIFEST, 32, 0)
    before = torch.get_rng_state()
    checkpoint = load(folder)
    assert torch.equal(torch.get_rng_state(), before)
    assert not checkpoint.network.training
    assert torch.equal(checkpoint.network(batch), network().eval()(batch))
    assert (checkpoint.manifest, checkpoint.training, checkpoint.split) == (MANIFEST, CONFIG, "test")


def test_it_holds_weights_and_json_alone_and_leaves_nothing_beside_it(folder: Path) -> None:
    assert sorted(path.name for path in folder.iterdir()) == ["checkpoint.json", "weights.safetensors"]
    assert [path.name for path in folder.parent.iterdir()] == ["checkpoint"]


def test_a_second_one_replaces_the_first(folder: Path) -> None:
    save(folder, Checkpoint(network=network(seed=1), training=CONFIG, manifest=MANIFEST, split="validation"))
    checkpoint = load(folder)
    assert checkpoint.split == "validation"
    batch = make_batch(MANIFEST, 8, 0)
    assert torch.equal(checkpoint.network(batch), network(seed=1).eval()(batch))
    assert [path.name for path in folder.parent.iterdir()] == ["checkpoint"]


def test_no_checkpoint(tmp_path: Path) -> None:
    with pytest.raises(LatticeError, match="There is no checkpoint here"):
        load(tmp_path)


@pytest.mark.parametrize("file", ["weights.safetensors", "checkpoint.json"])
@pytest.mark.parametrize("share", [0.0, 0.5])
def test_a_truncated_file(folder: Path, file: str, share: float) -> None:
    content = (folder / file).read_bytes()
    (folder / file).write_bytes(content[: int(len(content) * share)])
    with pytest.raises(LatticeError, match="checkpoint is damaged") as caught:
        load(folder)
    assert caught.value.place == str(folder)


def test_a_changed_weight(folder: Path) -> None:
    content = bytearray((folder / "weights.safetensors").read_bytes())
    content[-3] ^= 1
    (folder / "weights.safetensors").write_bytes(content)
    with pytest.raises(LatticeError, match=r"weights\.safetensors was changed"):
        load(folder)


def test_a_place_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(LatticeError, match="cannot be written"):
        save(
            tmp_path / "file" / "checkpoint",
            Checkpoint(network=network(), training=CONFIG, manifest=MANIFEST, split="test"),
        )
