"""Each family computes in what it is told to, and what is trained so stays close to what float32 gives."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from torchao.float8.float8_linear import Float8Linear

from lattice_model.baselines.dlrm import DLRMHyperparameters
from lattice_model.models import build, configure
from lattice_model.network import Hyperparameters, LatticeConfig, LatticeNetwork
from lattice_model.network.normalisation import RMSNorm, SwishRMSNorm
from lattice_model.training.checkpoint import load
from lattice_model.training.config import Precision, TrainingConfig
from lattice_model.training.precision import FAMILIES, apply_precision
from lattice_model.training.trainer import CHECKPOINT, train
from schemas.errors import LatticeError
from tests.lattice_model.factories import make_batch
from tests.lattice_model.training.runs import CONFIG, HYPER, MANIFEST, made_up

WIDE = Hyperparameters.model_validate(
    {**HYPER.model_dump(), "dim": 16, "fmb_widths": (32,), "task_width": 16, "dropout": 0.0}
)
NETWORK = LatticeConfig.from_manifest(MANIFEST, "test", WIDE)
CPU = torch.device("cpu")
FP8 = {"processors": "fp8", "transformer": "fp8", "fusion": "fp8", "heads": "fp8"}


def made() -> LatticeNetwork:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return LatticeNetwork(NETWORK).eval()


def precise(**families: Any) -> tuple[LatticeNetwork, dict[str, int]]:
    network = made()
    return network, apply_precision(network, Precision.model_validate(families), CPU)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_family_alone_is_bf16(family: str) -> None:
    """Its matrix products, and nobody else's; norms take and give float32 numbers whatever their input is."""
    network, _ = precise(**{family: "bf16"})
    seen: dict[str, set[torch.dtype]] = {}

    def note(name: str) -> Any:
        def hook(module: nn.Module, inputs: tuple[torch.Tensor, ...], output: torch.Tensor) -> None:
            seen.setdefault(name, set()).add(output.dtype)

        return hook

    for name, module in network.named_modules():
        if isinstance(module, nn.Linear):
            module.register_forward_hook(note(name))
    logits = network(make_batch(MANIFEST, 32, 0))
    assert logits.dtype == torch.float32
    inside = tuple(f"{path}." for path in FAMILIES[family])
    for name, types in seen.items():
        assert types == {torch.bfloat16 if name.startswith(inside) else torch.float32}, name
    scales = [part.weight for part in network.modules() if isinstance(part, RMSNorm | SwishRMSNorm)]
    assert {scale.dtype for scale in scales} == {torch.float32}


@pytest.mark.parametrize("scaling", ["rowwise", "tensorwise"])
def test_fp8_takes_every_linear_layer_that_fits(scaling: str) -> None:
    network, found = precise(**FP8, scaling=scaling)
    layers = {name: part for name, part in network.named_modules() if isinstance(part, nn.Linear)}
    for name, layer in layers.items():
        fits = layer.in_features % 16 == layer.out_features % 16 == 0
        assert isinstance(layer, Float8Linear) == fits, name
    assert sum(found.values()) == sum(isinstance(part, Float8Linear) for part in layers.values()) > 10
    batch, plain = make_batch(MANIFEST, 256, 1), made()
    difference = (network(batch) - plain(batch)).abs().max().item()
    assert 1e-4 < difference < 0.1
    assert network.state_dict().keys() == plain.state_dict().keys()


def test_training_in_fp8_stays_close_and_is_published_as_float32(tmp_path: Path) -> None:
    losses = []
    for name, precision in (("exact", None), ("fp8", Precision.model_validate(FP8))):
        log = train(
            config=CONFIG.model_copy(update={"precision": precision}),
            network_config=NETWORK,
            batches=made_up(),
            manifest=MANIFEST,
            split="test",
            folder=tmp_path / name,
        )
        losses.append([point.loss for point in log.curve])
    assert losses[1] == pytest.approx(losses[0], rel=0.02)
    assert losses[1] != losses[0]
    published = load(tmp_path / "fp8" / CHECKPOINT).network
    assert not any(isinstance(part, Float8Linear) for part in published.modules())
    assert {part.dtype for part in published.parameters()} == {torch.float32}


def test_what_has_no_matrix_product_is_refused() -> None:
    with pytest.raises(LatticeError, match="sides are multiples of 16") as caught:
        precise(mixing="fp8")
    assert caught.value.place == "the training setting precision.mixing"


def test_a_model_without_the_family_is_refused() -> None:
    dlrm = build(configure(DLRMHyperparameters(), MANIFEST, "test"))
    with pytest.raises(LatticeError, match="has no such part"):
        apply_precision(dlrm, Precision(transformer="bf16"), CPU)


def test_bf16_and_precision_are_one_too_many() -> None:
    with pytest.raises(LatticeError, match="Both say"):
        TrainingConfig(bf16=True, precision=Precision())
