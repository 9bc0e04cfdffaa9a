"""Our side of the comparison: layers with random weights, under the names that FuxiCTR gives them."""

from typing import Any

import torch
from torch import Tensor, nn
from torchrec.models.dlrm import InteractionArch
from torchrec.modules.crossnet import LowRankCrossNet

from lattice_model.baselines.afn import LogarithmicLayer
from lattice_model.baselines.apg import AdaptiveLinear, pairwise_interactions
from lattice_model.baselines.autoint import InteractingLayer
from lattice_model.baselines.bst import BehaviorTransformer
from lattice_model.baselines.finalmlp import BilinearFusion
from lattice_model.baselines.masknet import MaskBlock
from lattice_model.baselines.wukong import WukongHyperparameters, WukongLayer
from lattice_model.baselines.xdeepfm import CompressedInteractionNetwork

B, X, D = 5, 4, 6
"""Rows, tokens, width of a token."""
Case = dict[str, Any]


def cases() -> dict[str, Case]:
    """For each model: ``weights`` as FuxiCTR names them, ``inputs`` and ``output``."""
    torch.manual_seed(7)
    with torch.no_grad():
        return {
            "afn": _afn(),
            "autoint": _autoint(),
            "dlrm": _dlrm(),
            "dcnv2": _dcnv2(),
            "finalmlp": _finalmlp(),
            "masknet": _masknet(),
            "xdeepfm": _xdeepfm(),
            "bst": _bst(),
            "apg": _apg(),
            "apg, its FM": _fm(),
            "wukong": _wukong(),
        }


def _made(module: nn.Module) -> tuple[Any, dict[str, Tensor]]:
    """In evaluation mode, with all weights (biases too) away from their start."""
    for parameter in module.parameters():
        parameter.add_(0.3 * torch.randn_like(parameter))
    return module.eval(), module.state_dict()


def _case(weights: dict[str, Tensor], inputs: list[Tensor], output: Tensor) -> Case:
    return {
        "weights": {name: weight.contiguous() for name, weight in weights.items()},
        "inputs": inputs,
        "output": output,
    }


def _renamed(weights: dict[str, Tensor], **names: str) -> dict[str, Tensor]:
    """The weights whose names begin with a key, under names that begin with its value; __ stands for a dot."""
    dotted = {old.replace("__", "."): new for old, new in names.items()}
    return {
        new + name.removeprefix(old): weight
        for name, weight in weights.items()
        for old, new in dotted.items()
        if name.startswith(old)
    }


def _afn() -> Case:
    layer, w = _made(LogarithmicLayer(tokens=X, neurons=3))
    x = torch.randn(B, X, D)
    names = _renamed(w, weight_NX="coefficient_W.weight", log_norm="log_batch_norm", norm="exp_batch_norm")
    return _case(names, [x], layer(x).flatten(1))


def _autoint() -> Case:
    layer, w = _made(InteractingLayer(dim=D, width=8, heads=2))
    x = torch.randn(B, X, D)
    return _case(_renamed(w, query="W_q", key="W_k", value="W_v", residual="W_res"), [x], layer(x))


def _dlrm() -> Case:
    x = torch.randn(B, X, D)
    return _case({}, [x], InteractionArch(num_sparse_features=X - 1)(x[:, 0], x[:, 1:])[:, D:])


def _dcnv2() -> Case:
    cross, w = _made(LowRankCrossNet(in_features=8, num_layers=2, low_rank=3))
    x = torch.randn(B, 8)
    weights = {f"cross_layers.{i}.weight": w[f"W_kernels.{i}"] @ w[f"V_kernels.{i}"] for i in range(2)}
    return _case(weights | {f"cross_layers.{i}.bias": w[f"bias.{i}"] for i in range(2)}, [x], cross(x))


def _finalmlp() -> Case:
    fusion, w = _made(BilinearFusion(first=6, second=4, heads=2, outputs=3))
    x, y = torch.randn(B, 6), torch.randn(B, 4)
    weights = _renamed(w, first="w_x", second="w_y")
    weights |= {"w_y.bias": torch.zeros(3), "w_xy": w["weight_AiOj"].reshape(-1, 3)}  # read as heads, i, outputs, j
    return _case(weights, [x, y], fusion(x, y))


def _masknet() -> Case:
    block, w = _made(MaskBlock(features=8, mask_width=4, width=3, dropout=0.0))
    x, y = torch.randn(B, 8), torch.randn(B, 8)
    return _case(_renamed(w, mask="mask_layer", hidden="hidden_layer"), [x, y], block(x, y))


def _xdeepfm() -> Case:
    cin, w = _made(CompressedInteractionNetwork(tokens=X, maps=(3, 2)))
    x, weights = torch.randn(B, X, D), {}
    for i, weight_KHX in enumerate(w.values()):
        weights[f"cin_layer.layer_{i + 1}.weight"] = weight_KHX.permute(1, 2, 0).flatten(1)[..., None]
        weights[f"cin_layer.layer_{i + 1}.bias"] = torch.zeros(weight_KHX.shape[1])
    return _case(weights, [x], cin(x))


def _bst() -> Case:
    transformer, w = _made(BehaviorTransformer(length=3, dim=D, heads=2, layers=1, width=D, outputs=4, dropout=0.0))
    x = torch.randn(B, 4, D)
    padding = torch.arange(4) >= torch.tensor([3, 2, 1, 0, 3])[:, None]
    padding[:, 3] = False  # the target
    weights = _renamed(
        w,
        layers__0__self_attn="attention",
        layers__0__linear1="ffn.0",
        layers__0__linear2="ffn.2",
        layers__0__norm1="layer_norm1",
        layers__0__norm2="layer_norm2",
    )
    return _case(weights, [x, padding], transformer.layers[0](x, src_key_padding_mask=padding)[~padding])


def _apg() -> Case:
    layer, w = _made(AdaptiveLinear(features=7, width=5, condition=D, rank=2, inner=4))
    x, z = torch.randn(B, 7), torch.randn(B, D)
    weights = _renamed(
        w, shared__u_fp="U_l", shared__u_pk="U_r", shared__v_kp="V_l", shared__v_pw="V_r", generate="hypernet.mlp.0"
    )
    return _case({**weights, "bias": w["bias"][None]}, [x, z], layer(x, z))


def _fm() -> Case:
    x = torch.randn(B, X, D)
    return _case({}, [x], pairwise_interactions(x).sum(1, keepdim=True))


def _wukong() -> Case:
    hyper = WukongHyperparameters(dim=D, rank=2, fmb_tokens=2, lcb_tokens=3, fmb_widths=(7,), dropout=0.0)
    layer, w = _made(WukongLayer(tokens=X, hyper=hyper))
    x = torch.randn(B, X, D)
    weights = _renamed(
        w,
        fmb__projection_Xk="fmb.proj_Y",
        fmb__norm="fmb.layer_norm",
        fmb__hidden__0="fmb.mlp.mlp.0",
        fmb__out="fmb.mlp.mlp.2",
        lcb__weight="lcb.linear.weight",
        residual__weight="residual_proj.weight",
        norm="layer_norm",
    )
    return _case({**weights, "residual_proj.bias": torch.zeros(5)}, [x], layer(x))
