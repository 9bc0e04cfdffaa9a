"""What can be switched off or on in the network: the rest goes on, and the defaults stay the network that they were."""

import hashlib
from typing import Any

import pytest
import torch
from torch import Tensor

from lattice_model.flops import measure
from lattice_model.models import configure
from lattice_model.network import Hyperparameters, LatticeConfig, LatticeNetwork
from lattice_model.network.attention import Attention
from lattice_model.network.cross import DeepCrossMember
from lattice_model.network.normalisation import EPSILON, SwishRMSNorm
from lattice_model.supervision.masked_bce import head_targets, masked_bce
from schemas.errors import LatticeError
from tests.lattice_model.factories import make_batch, make_manifest

MANIFEST = make_manifest(sequences=2)
SMALL: dict[str, Any] = {"dim": 8, "dense_tokens": 4, "fmb_widths": (32,)}
SWITCHES: dict[str, dict[str, Any]] = {
    "no cross-attention": {"cross_attention": False},
    "no generated parameters": {"generated_rank": 0},
    "neither": {"cross_attention": False, "generated_rank": 0},
    "no RoPE": {"rotary": False},
    "no QK-norm": {"query_key_norm": False},
    "no FMB": {"fmb_tokens": 0, "lcb_tokens": 16},
    "no LCB": {"lcb_tokens": 0, "fmb_tokens": 16},
    "deep cross member": {"cross_tokens": 4},
    "deep cross member alone": {"cross_tokens": 16, "lcb_tokens": 0, "fmb_tokens": 0},
    "no dense residuals": {"dense_residuals": False},
    "hard gate": {"gate": "hard_sigmoid"},
    "blocks of channels": {"norm_block": 16},
    "stacks": {"transformer_depth": 2, "fusion_depths": (3, 1)},
    "mean of events": {"event_model": "mean"},
    "source encoding": {"source_encoding": True},
    "untied": {"untied_layers": (0, 1)},
    "towers": {"towers": "domain"},
}


def made(changes: dict[str, Any]) -> LatticeNetwork:
    torch.manual_seed(1)
    hyper = Hyperparameters.model_validate({**SMALL, **changes})
    return LatticeNetwork(LatticeConfig.from_manifest(MANIFEST, "test", hyper))


def test_defaults_are_the_network_that_they_were() -> None:
    """Recorded before the switches came: names and shapes of all parameters, their draws, and what they give."""
    torch.manual_seed(7)
    network = LatticeNetwork(LatticeConfig.from_manifest(MANIFEST, "test")).eval()
    shapes = "\n".join(f"{name} {tuple(value.shape)}" for name, value in network.state_dict().items())
    assert hashlib.sha256(shapes.encode()).hexdigest().startswith("08662970647578a2")
    drawn = sum(parameter.double().abs().sum().item() for parameter in network.parameters())
    assert drawn == pytest.approx(11720.040821544171, rel=1e-9)
    with torch.no_grad():
        first = network(make_batch(MANIFEST, 4, seed=3))[0]
    recorded = [0.0255098678, 0.0320166834, 0.0156220458, -0.0251712259, -0.0319300704, 0.0099978941, -0.0183777679]
    torch.testing.assert_close(first, torch.tensor(recorded), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("changes", SWITCHES.values(), ids=SWITCHES)
def test_every_parameter_learns_and_operations_are_counted(changes: dict[str, Any]) -> None:
    network, batch = made(changes), make_batch(MANIFEST, 200, seed=8)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    targets = head_targets(batch.labels_BO, batch.window_B, network.config.inputs.heads)
    masked_bce(network(batch), targets).total.backward()
    assert [name for name, p in network.named_parameters() if p.grad is None or not p.grad.any()] == []
    cost = measure(configure(network.config.hyper, MANIFEST, "test"), rows=8)
    outer = [part for part in cost.modules if "." not in part.module]
    assert sum(part.mflops for part in outer) == pytest.approx(cost.total.mflops)
    assert cost.total.dense_mparams + cost.total.embedding_mparams == pytest.approx(
        sum(p.numel() for p in network.parameters()) / 1e6
    )


def test_untied_layers_and_towers_cost_parameters_and_no_operations() -> None:
    tied, untied = (
        measure(configure(Hyperparameters.model_validate({**SMALL, **changes}), MANIFEST, "test"), rows=8).total
        for changes in ({}, {"untied_layers": (0, 1), "towers": "domain"})
    )
    assert untied.mflops == pytest.approx(tied.mflops)
    backbone_and_heads = sum(p.numel() for part in ("backbone", "tasks") for p in getattr(made({}), part).parameters())
    assert untied.dense_mparams - tied.dense_mparams == pytest.approx(2 * backbone_and_heads / 1e6)


def test_without_rope_attention_does_not_know_the_order() -> None:
    torch.manual_seed(0)
    x, order = torch.randn(2, 5, 8), torch.tensor([3, 0, 4, 1, 2])
    plain, rotary = Attention(dim=8, heads=2, rotary=False), Attention(dim=8, heads=2, rotary=True)
    torch.testing.assert_close(plain(x[:, order], x[:, order]), plain(x, x)[:, order])
    assert (rotary(x[:, order], x[:, order]) - rotary(x, x)[:, order]).abs().max() > 1e-3


def test_query_key_norm_takes_the_scale_of_queries_away() -> None:
    torch.manual_seed(0)
    x = torch.randn(2, 5, 8)
    for normalised in (True, False):
        attention = Attention(dim=8, heads=2, rotary=False, normalised=normalised)
        before = attention(x, x)
        with torch.no_grad():
            attention.query.weight.mul_(100.0)
        change = (attention(x, x) - before).abs().max()
        assert change < 1e-3 if normalised else change > 1e-2


def gate(z: Tensor) -> Tensor:
    return (z / 6 + 0.5).clamp(0, 1)


@pytest.mark.parametrize("block", [None, 4])
def test_hard_gate_and_block_norm_are_their_formulas(block: int | None) -> None:
    torch.manual_seed(0)
    norm = SwishRMSNorm(12, gate="hard_sigmoid", block=block)
    norm.weight.data = torch.rand(12) + 0.5
    x = torch.randn(3, 5, 12) * 4
    z = torch.empty(3, 5, 12, dtype=torch.float64)
    for start in range(0, 12, block or 12):
        own = slice(start, start + (block or 12))
        wide = x[..., own].double()
        z[..., own] = wide / (wide.pow(2).mean(-1, keepdim=True) + EPSILON).sqrt() * norm.weight[own].double()
    torch.testing.assert_close(norm(x).double(), z * gate(z), rtol=1e-5, atol=1e-6)


def test_the_deep_cross_member_is_the_cross_network_between_two_norms() -> None:
    torch.manual_seed(0)
    member = DeepCrossMember(tokens=3, dim=4, rank=2, layers=2, out_tokens=5)
    x = torch.randn(6, 4, 3)
    first = member.in_norm(x.reshape(6, 12))
    crossed = first
    weights = list(member.reduce.parameters()), list(member.expand.parameters())
    for down, up in zip(*weights, strict=True):
        crossed = crossed + first * (crossed @ (up @ down).T)
    expected = (member.out_norm(crossed) @ member.out.weight.T).reshape(6, 5, 4)
    torch.testing.assert_close(member(x), expected)
    torch.testing.assert_close(member(1000 * x), member(x), rtol=1e-3, atol=1e-4)


def test_the_blocks_of_a_layer_are_stacked() -> None:
    backbone = made({"transformer_depth": 2, "fusion_depths": (3, 1), "dropout": 0.0}).backbone
    assert (backbone.depths, len(backbone.transformers), len(backbone.fusions)) == ([(2, 3), (2, 1)], 4, 4)
    o_s, mixing = torch.randn(3, 8, 8), torch.randn(3, 10, 8)
    first_s = backbone.transformers[1](backbone.transformers[0](o_s, mixing), mixing)
    first_cd = backbone.fusions[2](backbone.fusions[1](backbone.fusions[0](mixing, [first_s]), []), [])
    second_s = backbone.transformers[3](backbone.transformers[2](first_s, first_cd), first_cd)
    torch.testing.assert_close(backbone(o_s, mixing), backbone.fusions[3](first_cd, [second_s, mixing]))


def test_settings_that_do_not_fit_are_refused() -> None:
    with pytest.raises(LatticeError, match="All are 0"):
        Hyperparameters(fmb_tokens=0, lcb_tokens=0)
    with pytest.raises(LatticeError, match=r"norm_block[\s\S]*5 does not divide every width \(32, 256\)"):
        Hyperparameters(norm_block=5)
