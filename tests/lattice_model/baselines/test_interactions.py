"""Each baseline's interaction part against the same thing written out in numpy, number by number or in double."""

from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from lattice_model.baselines.afn import SMALLEST, LogarithmicLayer
from lattice_model.baselines.apg import AdaptiveLinear, pairwise_interactions
from lattice_model.baselines.autoint import InteractingLayer
from lattice_model.baselines.bst import BehaviorTransformer, BSTHyperparameters
from lattice_model.baselines.dcnv2 import DCNv2Hyperparameters
from lattice_model.baselines.dlrm import DLRMHyperparameters
from lattice_model.baselines.finalmlp import BilinearFusion
from lattice_model.baselines.masknet import MaskBlock
from lattice_model.baselines.wukong import FactorizationMachineBlock, WukongHyperparameters, WukongLayer
from lattice_model.baselines.xdeepfm import CompressedInteractionNetwork
from lattice_model.models import build, configure
from tests.lattice_model.factories import make_manifest

Doubles = NDArray[np.float64]
B, X, D = 3, 4, 6
"""Rows, tokens, width of a token."""


def noisy(module: nn.Module) -> nn.Module:
    """In evaluation mode, with every parameter away from its special start."""
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    return module.eval()


def doubles(tensor: Tensor) -> Doubles:
    return tensor.detach().double().numpy()


def weights(module: nn.Module) -> dict[str, Doubles]:
    return {name: doubles(tensor) for name, tensor in module.state_dict().items()}


def softmax(x: Doubles) -> Doubles:
    e: Doubles = np.exp(x - x.max())
    shares: Doubles = e / e.sum()
    return shares


def layer_norm(x: Doubles, weight: Doubles, bias: Doubles) -> Doubles:
    standard: Doubles = (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + 1e-5)
    return standard * weight + bias


def same(ours: Tensor, expected: Any) -> None:
    np.testing.assert_allclose(doubles(ours), np.asarray(expected), rtol=1e-4, atol=1e-5)


@pytest.fixture(autouse=True)
def seeded() -> None:
    torch.manual_seed(3)


@pytest.fixture(name="x_BXd")
def tokens() -> Tensor:
    return torch.randn(B, X, D)


def test_dlrm_takes_the_dot_product_of_every_pair() -> None:
    manifest = make_manifest(dense=2, categorical=3, sequences=0)
    model: Any = build(configure(DLRMHyperparameters(), manifest, "test"))
    dense_Bd, sparse_BFd = torch.randn(B, 16), torch.randn(B, 3, 16)
    every = [doubles(dense_Bd), *doubles(sparse_BFd).transpose(1, 0, 2)]
    pairs = [(every[i] * every[j]).sum(1) for i in range(4) for j in range(i + 1, 4)]
    expected = np.concatenate([every[0], np.stack(pairs, axis=1)], axis=1)
    same(model.interaction(dense_Bd, sparse_BFd), expected)
    assert model.top[0].in_features == expected.shape[1]


def test_dcnv2_crosses_with_the_first_layer() -> None:
    manifest = make_manifest(dense=2, categorical=3, sequences=0)
    model: Any = build(configure(DCNv2Hyperparameters(layers=2, rank=3, dim=4), manifest, "test"))
    cross, w = noisy(model.cross), weights(model.cross)
    x_BF = torch.randn(B, 24)
    x0 = x = doubles(x_BF)
    for layer in range(2):
        left, right, bias = w[f"W_kernels.{layer}"], w[f"V_kernels.{layer}"], w[f"bias.{layer}"]
        x = np.stack([x0[b] * (left @ (right @ x[b]) + bias) + x[b] for b in range(B)])
    same(cross(x_BF), x)


def test_afn_multiplies_powers_of_the_tokens(x_BXd: Tensor) -> None:
    x_BXd[0, 1] = 0.0  # an absent token
    layer = LogarithmicLayer(tokens=X, neurons=5).eval()
    power = weights(layer)["weight_NX"] / np.sqrt(1 + 1e-5)  # as normalised by the statistics of a new layer
    magnitudes = np.maximum(np.abs(doubles(x_BXd)), SMALLEST)
    products = [[[np.prod(magnitudes[b, :, c] ** power[n]) for c in range(D)] for n in range(5)] for b in range(B)]
    same(layer(x_BXd), np.array(products) / np.sqrt(1 + 1e-5))


@pytest.mark.parametrize("tokens", [X, 40])  # by plain products, and by PyTorch's fused attention
def test_autoint_attends_without_scaling(tokens: int) -> None:
    torch.manual_seed(1)
    x_BXd = torch.randn(B, tokens, D)
    layer = InteractingLayer(dim=D, width=8, heads=2)
    w, x = weights(layer), doubles(x_BXd)
    expected = np.zeros((B, tokens, 8))
    for b in range(B):
        for head in range(2):
            part = slice(4 * head, 4 * head + 4)
            query, key, value = (x[b] @ w[f"{name}.weight"][part].T for name in ("query", "key", "value"))
            for m in range(tokens):
                shares = softmax(np.array([query[m] @ key[k] for k in range(tokens)]))
                expected[b, m, part] = sum(shares[k] * value[k] for k in range(tokens))
    same(layer(x_BXd), np.maximum(expected + x @ w["residual.weight"].T, 0))


def test_finalmlp_fuses_head_by_head() -> None:
    fusion = noisy(BilinearFusion(first=6, second=4, heads=2, outputs=3))
    w = weights(fusion)
    first, second = torch.randn(B, 6), torch.randn(B, 4)
    f, s = doubles(first), doubles(second)
    expected = f @ w["first.weight"].T + w["first.bias"] + s @ w["second.weight"].T
    for b in range(B):
        for o in range(3):
            for a in range(2):
                matrix = w["weight_AiOj"][a, :, o, :]
                expected[b, o] += f[b, 3 * a : 3 * a + 3] @ matrix @ s[b, 2 * a : 2 * a + 2]
    same(fusion(first, second), expected)


def test_masknet_masks_by_the_embeddings() -> None:
    block = noisy(MaskBlock(features=8, mask_width=5, width=3, dropout=0.5))
    w = weights(block)
    embedded, hidden = torch.randn(B, 8), torch.randn(B, 8)
    mask = np.maximum(doubles(embedded) @ w["mask.0.weight"].T + w["mask.0.bias"], 0) @ w["mask.2.weight"].T
    normed = layer_norm(
        ((mask + w["mask.2.bias"]) * doubles(hidden)) @ w["hidden.0.weight"].T, w["hidden.1.weight"], w["hidden.1.bias"]
    )
    same(block(embedded, hidden), np.maximum(normed, 0))


def test_xdeepfm_compresses_all_products(x_BXd: Tensor) -> None:
    cin = CompressedInteractionNetwork(tokens=X, maps=(3, 2))
    w, x = weights(cin), doubles(x_BXd)
    expected = []
    for b in range(B):
        before, pooled = x[b], []
        for layer, maps in enumerate((3, 2)):
            weight = w[f"weights_KHX.{layer}"]
            after = np.zeros((maps, D))
            for h in range(maps):
                for k in range(len(before)):
                    for i in range(X):
                        after[h] += weight[k, h, i] * before[k] * x[b, i]
            pooled += after.sum(1).tolist()
            before = after
        expected.append(pooled)
    same(cin(x_BXd), expected)


def test_deepfm_sums_the_products_of_all_pairs(x_BXd: Tensor) -> None:
    x = doubles(x_BXd)
    same(pairwise_interactions(x_BXd), sum(x[:, i] * x[:, j] for i in range(X) for j in range(i + 1, X)))


def test_apg_makes_a_matrix_for_each_row() -> None:
    layer = noisy(AdaptiveLinear(features=7, width=5, condition=D, rank=2, inner=4))
    w = weights(layer)
    x, z = torch.randn(B, 7), torch.randn(B, D)
    u, v = w["shared.u_fp"] @ w["shared.u_pk"], w["shared.v_kp"] @ w["shared.v_pw"]
    expected = []
    for b in range(B):
        generated = (w["generate.weight"] @ doubles(z)[b] + w["generate.bias"]).reshape(2, 2)
        expected.append((u @ generated @ v).T @ doubles(x)[b] + w["bias"])  # one 7 x 5 matrix, the row's own
    same(layer(x, z), expected)


def test_wukong_is_a_factorization_machine_beside_a_compression(x_BXd: Tensor) -> None:
    hyper = WukongHyperparameters(dim=D, rank=2, fmb_tokens=2, lcb_tokens=3, fmb_widths=(7,))
    layer = noisy(WukongLayer(tokens=X, hyper=hyper))
    w, x = weights(layer), doubles(x_BXd)
    assert isinstance(layer.fmb, FactorizationMachineBlock)
    expected = []
    for b in range(B):
        pairs = np.array([[x[b, i] @ x[b, j] for j in range(X)] for i in range(X)]) @ w["fmb.projection_Xk"]
        normed = layer_norm(pairs.reshape(-1), w["fmb.norm.weight"], w["fmb.norm.bias"])
        hidden = np.maximum(w["fmb.hidden.0.weight"] @ normed + w["fmb.hidden.0.bias"], 0)
        machine = (w["fmb.out.weight"] @ hidden + w["fmb.out.bias"]).reshape(2, D)
        both = np.concatenate([machine, w["lcb.weight"] @ x[b]]) + w["residual.weight"] @ x[b]
        expected.append(layer_norm(both, w["norm.weight"], w["norm.bias"]))
    same(layer(x_BXd), expected)


def test_bst_lets_the_target_and_the_filled_places_attend() -> None:
    module = noisy(BehaviorTransformer(length=4, dim=D, heads=2, layers=1, width=5, outputs=3, dropout=0.5))
    w = {name.removeprefix("layers.0."): value for name, value in weights(module).items()}
    events, lengths, target = torch.randn(B, 4, D), torch.tensor([4, 1, 0]), torch.randn(B, D)
    expected = np.zeros((B, 3, D))
    for b in range(B):
        filled = int(lengths[b])
        places = [*range(filled), 4]
        x = np.concatenate([doubles(events)[b], doubles(target)[b][None]])[places] + w["positions_Nd"][places]
        query, key, value = np.split(x @ w["self_attn.in_proj_weight"].T + w["self_attn.in_proj_bias"], 3, axis=1)
        mixed = np.zeros_like(x)
        for part in (slice(0, 3), slice(3, 6)):
            for m in range(len(x)):
                mixed[m, part] = softmax(key[:, part] @ query[m, part] / np.sqrt(3)) @ value[:, part]
        mixed = mixed @ w["self_attn.out_proj.weight"].T + w["self_attn.out_proj.bias"]
        x = layer_norm(x + mixed, w["norm1.weight"], w["norm1.bias"])
        hidden = x @ w["linear1.weight"].T + w["linear1.bias"]
        hidden = np.where(hidden > 0, hidden, 0.01 * hidden) @ w["linear2.weight"].T + w["linear2.bias"]
        x = layer_norm(x + hidden, w["norm2.weight"], w["norm2.bias"])
        expected[b, 0] = x[-1]
        kept = min(filled, 2)
        expected[b, 1 : 1 + kept] = x[:kept]
    same(module(events, lengths, target), expected)
    with torch.no_grad():  # where torch takes another path
        same(module(events, lengths, target), expected)


def test_bst_s_target_is_what_shares_an_id_space_with_the_events() -> None:
    """Events have ids of ``item_0`` and ``kind``; of the impression's five, the first two are of ``item_0``."""
    model: Any = build(configure(BSTHyperparameters(), make_manifest(sequences=2), "test"))
    assert model.target_SC.tolist() == [[1, 1, 0, 0, 0]] * 2
