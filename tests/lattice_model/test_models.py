"""What holds for every model: Lattice and the ten that it is measured against."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from rich.console import Console
from torch import Tensor

from lattice_model.batch import Batch
from lattice_model.loader import Loader
from lattice_model.models import MODELS, build, configure, find_kind, name_of
from lattice_model.network.config import NetworkConfig, SharedHyperparameters
from lattice_model.network.model import Model
from lattice_model.supervision.masked_bce import head_targets, masked_bce
from lattice_model.training.checkpoint import Checkpoint, load, save
from lattice_model.training.config import TrainingConfig
from lattice_model.training.trainer import CHECKPOINT, train
from schemas.errors import LatticeError
from schemas.manifest import TrainingManifest
from tests.lattice_model.factories import keyed_ids, make_batch, make_manifest
from tests.lattice_model.tables import make_table, write_files

MANIFEST = make_manifest(sequences=2)
BATCH = make_batch(MANIFEST, 60, seed=0)
every_model = pytest.mark.parametrize("name", MODELS)


def small(name: str, **changes: float) -> SharedHyperparameters:
    return MODELS[name].hyper.model_validate({"dim": 8, "dense_tokens": 4, "task_width": 8, **changes})


def config_of(name: str, manifest: TrainingManifest = MANIFEST, **changes: float) -> NetworkConfig[Any]:
    return configure(small(name, **changes), manifest, "test")


def made(name: str, manifest: TrainingManifest = MANIFEST) -> Model:
    """In evaluation mode, with every parameter away from its special start."""
    torch.manual_seed(1)
    network = build(config_of(name, manifest))
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return network.eval()


def loss_of(network: Model, batch: Batch) -> Tensor:
    return masked_bce(network(batch), head_targets(batch.labels_BO, batch.window_B, network.config.inputs.heads)).total


def ids_of(batch: Batch) -> Tensor:
    """(B, C), 0 where there is none."""
    filled_CB = batch.categorical.lengths().view(-1, batch.size) > 0
    ids_CB = torch.zeros_like(filled_CB, dtype=torch.int64)
    ids_CB[filled_CB] = batch.categorical.values()
    return ids_CB.T


def test_the_baselines_are_those_of_the_paper() -> None:
    names = "lattice afn autoint dlrm dcnv2 finalmlp masknet xdeepfm bst apg wukong"
    assert list(MODELS) == names.split()
    assert [name_of(kind.hyper()) for kind in MODELS.values()] == names.split()
    with pytest.raises(LatticeError, match=r"no model 'deepfm'.*\n.*lattice, afn, .*wukong"):
        find_kind("deepfm", "--model")


@every_model
def test_every_parameter_can_learn(name: str) -> None:
    network = made(name).train()
    logits = network(BATCH)
    assert (logits.shape, logits.dtype) == ((60, len(MANIFEST.heads())), torch.float32)
    loss_of(network, make_batch(MANIFEST, 200, seed=8)).backward()
    assert [key for key, p in network.named_parameters() if p.grad is None or not p.grad.any()] == []


@every_model
def test_a_feature_that_the_domain_lacks_changes_nothing(name: str) -> None:
    network, lacking_B = made(name), BATCH.domain_B == 0
    dense_BF, ids_BC = BATCH.dense_BF.clone(), ids_of(BATCH)
    dense_BF[:, -1] = 1e9
    ids_BC[:, -1] = 7
    keys = BATCH.categorical.keys()
    change_B = (network(replace(BATCH, dense_BF=dense_BF, categorical=keyed_ids(keys, ids_BC))) - network(BATCH)).abs()
    assert (change_B[lacking_B] == 0).all()
    assert (change_B[~lacking_B].amax(1) > 0).all()


@every_model
def test_what_lies_in_padding_changes_nothing(name: str) -> None:
    network, sequences = made(name), {}
    for key, sequence in BATCH.sequences.items():
        padding_BN1 = (torch.arange(sequence.ids_BNI.shape[1]) >= sequence.lengths_B[:, None])[..., None]
        sequences[key] = replace(
            sequence,
            ids_BNI=sequence.ids_BNI.masked_fill(padding_BN1, 7),
            dense_BNE=sequence.dense_BNE.masked_fill(padding_BN1, 1e6),
        )
    torch.testing.assert_close(network(replace(BATCH, sequences=sequences)), network(BATCH), rtol=0, atol=0)


@every_model
def test_a_row_does_not_depend_on_the_others(name: str) -> None:
    network = made(name)
    first = replace(
        BATCH,
        categorical=keyed_ids(BATCH.categorical.keys(), ids_of(BATCH)[:7]),
        dense_BF=BATCH.dense_BF[:7],
        sequences={
            key: replace(s, ids_BNI=s.ids_BNI[:7], dense_BNE=s.dense_BNE[:7], lengths_B=s.lengths_B[:7])
            for key, s in BATCH.sequences.items()
        },
        domain_B=BATCH.domain_B[:7],
    )
    torch.testing.assert_close(network(first), network(BATCH)[:7], rtol=1e-3, atol=1e-4)


@every_model
@pytest.mark.parametrize(
    "manifest",
    [make_manifest(categorical=0), make_manifest(dense=0), make_manifest(categorical=0, dense=0, sequences=0)],
    ids=["no ids", "no numbers", "domain only"],
)
def test_spaces_that_lack_a_kind_of_input(name: str, manifest: TrainingManifest) -> None:
    network = made(name, manifest).train()
    loss = loss_of(network, make_batch(manifest, 20, seed=0))
    loss.backward()
    assert loss.isfinite()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in network.parameters())


@every_model
def test_it_learns_from_a_table_the_same_way_twice_and_comes_back_from_its_checkpoint(
    name: str, tmp_path: Path
) -> None:
    """Labels are drawn with a rate of .3: below its entropy, .611, a model has learned more than that."""
    manifest = make_manifest()
    files = write_files(make_table(manifest, 96), tmp_path / "table", files=1)
    logs = [
        train(
            config=TrainingConfig(
                batch_size=96, epochs=epochs, learning_rate=1e-2, embedding_learning_rate=0.1, schedule="constant"
            ),
            network_config=config_of(name, manifest, dropout=0.0),
            batches=Loader(files, manifest, batch_size=96),
            manifest=manifest,
            split="test",
            folder=tmp_path / str(epochs),
            console=Console(quiet=True),
        )
        for epochs in (30, 2)
    ]
    assert [log.network for log in logs] == [name, name]
    assert logs[0].curve[0].loss == logs[1].curve[0].loss
    assert logs[0].curve[-1].loss < 0.55
    trained = load(tmp_path / "30" / CHECKPOINT)
    assert type(trained.network) is MODELS[name].build
    save(
        tmp_path / "copy",
        Checkpoint(network=trained.network, training=TrainingConfig(), manifest=manifest, split="test"),
    )
    again = load(tmp_path / "copy")
    assert again.network.config == config_of(name, manifest, dropout=0.0)
    batch = make_batch(manifest, 20, seed=1)
    assert torch.equal(again.network(batch), trained.network(batch))


def test_a_checkpoint_of_a_model_that_is_not_known(tmp_path: Path) -> None:
    save(tmp_path / "it", Checkpoint(network=made("dlrm"), training=TrainingConfig(), manifest=MANIFEST, split="test"))
    about = tmp_path / "it" / "checkpoint.json"
    about.write_text(about.read_text().replace('"model": "dlrm"', '"model": "rival"'))
    with pytest.raises(LatticeError, match=r"no model 'rival'"):
        load(tmp_path / "it")
