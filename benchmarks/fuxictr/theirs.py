"""FuxiCTR's side of the comparison: ``python theirs.py CHECKOUT CASES`` in its own environment. Prints JSON.

It knows nothing of this project: each layer gets weights by FuxiCTR's own names, all of them, and is run.
"""

import importlib.util
import json
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import torch
from torch import nn

B, X, D = 5, 4, 6


def main(source: Path, cases: Path) -> None:
    sys.path.insert(0, str(source))
    from fuxictr.pytorch.layers import (  # type: ignore[import-not-found]
        CompressedInteractionNet,
        CrossNetV2,
        InnerProductInteraction,
    )

    def zoo(model: str, file: str) -> ModuleType:
        """One file: the package around them imports every model, and what they all need."""
        path = source / "model_zoo" / model / "src" / f"{file}.py"
        spec = importlib.util.spec_from_file_location(f"zoo_{file}", path)
        assert spec is not None and spec.loader is not None, path
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module

    class Logarithmic(nn.Module):
        """AFN's part, which is a method of the whole model there."""

        def __init__(self) -> None:
            super().__init__()
            self.coefficient_W = nn.Linear(X, 3, bias=False)
            self.log_batch_norm, self.exp_batch_norm = nn.BatchNorm1d(X), nn.BatchNorm1d(3)

        def forward(self, x: torch.Tensor) -> Any:
            return zoo("AFN", "AFN").AFN.logarithmic_net(self, x)

    cin = CompressedInteractionNet(X, [3, 2], output_dim=1)
    cin.fc = nn.Identity()  # the output is taken before the logit
    wukong = zoo("WuKong", "WuKong").WuKongLayer(X, 3, 2, D, fmp_rank_k=2, fmb_mlp_units=[7], fmb_dropout=0)
    wukong.fmb.mlp.mlp[-1] = nn.Identity()  # an activation after the last layer, which the paper has not
    bst = zoo("BST", "BST")
    layers: dict[str, Any] = {
        "afn": Logarithmic(),
        "autoint": zoo("AutoInt", "AutoInt").MultiHeadSelfAttention(D, attention_dim=8, num_heads=2),
        "dlrm": InnerProductInteraction(X, output="inner_product"),
        "dcnv2": CrossNetV2(8, 2),
        "finalmlp": zoo("FinalMLP", "FinalMLP").InteractionAggregation(6, 4, output_dim=3, num_heads=2),
        "masknet": zoo("MaskNet", "MaskNet").MaskBlock(8, 8, 3, reduction_ratio=0.5),
        "xdeepfm": cin,
        "bst": bst.TransformerBlock(model_dim=D, ffn_dim=D, num_heads=2),
        "apg": zoo("APG", "APG").APG_Linear(7, 5, D, rank_k=2, overparam_p=4),
        "apg, its FM": InnerProductInteraction(X, output="product_sum"),
        "wukong": wukong,
    }
    found = {}
    for name, case in torch.load(cases, weights_only=True).items():
        layer = layers[name].eval()
        missing = layer.load_state_dict(case["weights"], strict=False)
        buffers = {key for key in missing.missing_keys if key in ("triu_mask", "triu_index")}
        assert not missing.unexpected_keys and set(missing.missing_keys) == buffers, (name, missing)
        with torch.no_grad():
            if name == "bst":
                x, padding = case["inputs"]
                # get_mask wants ids of the events, 0 where there is none, and adds the target's place itself
                _, mask = bst.BST.get_mask(
                    SimpleNamespace(num_heads=2, use_causal_mask=False), (~padding[:, :-1]).long()
                )
                output = layer(x, attn_mask=mask)[~padding]
            else:
                output = layer(*case["inputs"])
        assert output.shape == case["output"].shape, (name, output.shape, case["output"].shape)
        found[name] = (type(layer).__name__, float((output - case["output"]).abs().max() / case["output"].abs().max()))
    print(json.dumps(found))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
