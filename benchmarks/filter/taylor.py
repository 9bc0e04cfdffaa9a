"""Importance by first-order Taylor expansion: SHARK's F-Permutation (Zhang et al., CIKM 2023), a method of ERASE's.

A feature is worth, on the mean over rows, the size of the change that the loss would have, to first order, if the
feature's input were its mean: ``|sum((mean - x) * dL/dx)|``. One backward pass measures all features.

Shapes: B rows of a batch, C categorical and F dense features, d width of a token, I inputs that a number becomes.
"""

from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lattice_model.batch import Batch
from lattice_model.network.categorical import CategoricalProcessor
from lattice_model.network.model import Model
from pipelines.frontiers import Floats
from schemas.manifest import TrainingManifest


def taylor_importance(network: Model, batches: Sequence[Batch], manifest: TrainingManifest) -> dict[str, float]:
    """Feature -> importance to the summed cross entropy of all labels at the oracle heads; ids and numbers alone."""
    ids = network.get_submodule("preprocessor.categorical")
    assert isinstance(ids, CategoricalProcessor)
    processors = ids, network.get_submodule("preprocessor.dense.scaler")
    features = (*ids.names, *(part.name for part in manifest.dense))
    network.eval()
    sums = [torch.zeros(()) for _ in processors]
    with torch.no_grad():
        for batch in batches:
            _, inputs = _run(network, processors, batch)
            sums = [total + found.sum(1, keepdim=True) for total, found in zip(sums, _by_feature(*inputs), strict=True)]
    rows = sum(batch.size for batch in batches)
    importance_F: Floats = np.zeros(len(features))
    oracle = list(manifest.oracle_heads())
    for batch in batches:
        logits_BH, inputs = _run(network, processors, batch)
        labels_BO = batch.labels_BO
        losses_BO = F.binary_cross_entropy_with_logits(
            logits_BH[:, oracle], labels_BO.nan_to_num(0.0), reduction="none"
        )
        gradients = _by_feature(*torch.autograd.grad(losses_BO[~labels_BO.isnan()].sum(), inputs))
        with torch.no_grad():
            parts = [
                ((total / rows - found) * gradient).sum(-1).abs().sum(1)
                for total, found, gradient in zip(sums, _by_feature(*inputs), gradients, strict=True)
            ]
        importance_F += torch.cat(parts).double().numpy() / rows
    return dict(zip(features, importance_F.tolist(), strict=True))


def _run(network: nn.Module, processors: Sequence[nn.Module], batch: Batch) -> tuple[Tensor, list[Tensor]]:
    """The logits, and what the processors gave on the way: (B, C, d) and (F, B, I)."""
    kept: dict[int, Tensor] = {}

    def keep(module: nn.Module, _: object, output: Tensor) -> Tensor:
        kept[id(module)] = output if output.requires_grad else output.requires_grad_(torch.is_grad_enabled())
        return output

    hooks = [module.register_forward_hook(keep) for module in processors]
    try:
        logits = network(batch)
    finally:
        for hook in hooks:
            hook.remove()
    ids_BCd, numbers_FBI = (kept[id(module)] for module in processors)
    return logits, [ids_BCd, numbers_FBI]


def _by_feature(ids_BCd: Tensor, numbers_FBI: Tensor) -> list[Tensor]:
    return [ids_BCd.transpose(0, 1), numbers_FBI]
