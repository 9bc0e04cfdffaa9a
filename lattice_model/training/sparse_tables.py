"""Embedding tables of which a step touches the rows that its batch looks up, and no other.

PyTorch gives a table a gradient as large as itself, and TorchRec's row-wise Adagrad goes over all of it; a table of
millions of rows then costs more than the network. TorchRec's fused tables are the way of several processes; here the
gradient names its rows.
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torchrec.modules.embedding_modules import EmbeddingBagCollection, EmbeddingCollection
from torchrec.optim.rowwise_adagrad import RowWiseAdagrad

from lattice_model.network.inputs import Inputs

SHARE = 0.25
"""Look-ups of a batch, as a share of the table's rows, above which a whole gradient is cheaper: nothing is sorted."""


class SparseRowWiseAdagrad(RowWiseAdagrad):  # type: ignore[misc]  # TorchRec has no types
    """TorchRec's, which takes whole gradients alone, also of gradients that name their rows: with the same result, but
    for the order in which look-ups of the same row are added up.
    """

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:
        """Update the parameters; gradients that name their rows are used up."""
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None and parameter.grad.is_sparse:
                    self._update_rows(parameter, float(group["lr"]), group["eps"])
                    parameter.grad = None
        found: float | None = super().step(closure)
        return found

    def _update_rows(self, parameter: nn.Parameter, rate: float, epsilon: float) -> None:
        gradient: Tensor = parameter.grad.coalesce()  # type: ignore[union-attr]
        rows, values = gradient.indices()[0], gradient.values()
        state = self.state[parameter]
        state["step"] += 1
        state["sum"].index_add_(0, rows, values.square().mean(dim=1, keepdim=True))
        scale = state["sum"][rows].sqrt_().add_(epsilon)
        parameter.index_add_(0, rows, values.div_(scale), alpha=-rate)


def name_rows(network: nn.Module, inputs: Inputs, batch_size: int) -> None:
    """Let the gradients of the tables that have many more rows than such a batch has look-ups name their rows."""
    lengths = {source.name: source.length for source in inputs.sequences}
    for module in network.modules():
        if isinstance(module, EmbeddingBagCollection):
            for bag in module.embedding_bag_configs():
                lookups = batch_size * len(bag.feature_names)
                module.embedding_bags[bag.name].sparse = lookups < SHARE * bag.num_embeddings
        elif isinstance(module, EmbeddingCollection):
            for table in module.embedding_configs():
                events = sum(lengths[key.rsplit(".", 1)[0]] for key in table.feature_names)
                module.embeddings[table.name].sparse = batch_size * events < SHARE * table.num_embeddings
