"""The serving part of a model: raw columns in, the probabilities of the oracle heads out.

Shapes: B impressions, C categorical features, N events of a source, I its id fields, O objectives.
"""

import copy
from collections.abc import Iterable

import torch
from torch import Tensor, nn
from torch.export import Dim, ExportedProgram
from torchrec.sparse.jagged_tensor import KeyedJaggedTensor

from lattice_model.batch import Batch, SequenceBatch
from lattice_model.export.float8 import Scaling, use_float8_weights
from lattice_model.export.lookups import replace_tables
from lattice_model.network.model import Model
from schemas.manifest import TrainingManifest

Inputs = dict[str, Tensor]
"""As schemas.serving describes them."""

# torch.export takes a size of 1 for a constant.
_EXAMPLES = 3


class Serving(nn.Module):
    """Folds ids, runs the network on them and takes the oracle heads' probabilities."""

    def __init__(self, network: Model, manifest: TrainingManifest, float8: Scaling | None = None) -> None:
        super().__init__()
        self.network = copy.deepcopy(network).cpu().eval()
        if float8 is not None:
            use_float8_weights(self.network, float8)
        lengths = {f"{s.name}.{part.field}": s.length for s in manifest.sequences for part in s.ids}
        replace_tables(self.network, lengths)
        self.categorical = manifest.categorical
        self.sequences = manifest.sequences
        self.oracle = list(manifest.oracle_heads())

    def forward(self, inputs: Inputs) -> Tensor:
        """Return (B, O), float32."""
        domain_B = inputs["domain"]
        rows = domain_B.shape[0]
        for tensor in inputs.values():
            torch._check(tensor.shape[0] == rows)  # torch.export would else find it out as it goes, at length
        names = [part.name for part in self.categorical]
        ids_BC = _folded(inputs["categorical"], (part.size for part in self.categorical))
        batch = Batch(
            categorical=KeyedJaggedTensor(
                keys=names,
                values=ids_BC.T.reshape(-1),
                lengths=torch.ones(rows * len(names), dtype=torch.int64),
            ),
            dense_BF=inputs["dense"],
            sequences={
                sequence.name: SequenceBatch(
                    ids_BNI=_folded(inputs[f"{sequence.name}/ids"], (part.size for part in sequence.ids)),
                    dense_BNE=inputs[f"{sequence.name}/dense"],
                    lengths_B=inputs[f"{sequence.name}/length"],
                )
                for sequence in self.sequences
            },
            domain_B=domain_B,
            # Which head a label trains, which label, with which weight: serving has none.
            window_B=domain_B,
            labels_BO=inputs["dense"],
            weight_B=domain_B,
        )
        return torch.sigmoid(self.network(batch)[:, self.oracle].double()).float()


def _folded(hashes: Tensor, sizes: Iterable[int]) -> Tensor:
    """Rows of embedding tables along the last axis, as ``lattice_model.loading.rows.fold`` finds them."""
    last = torch.tensor([size - 1 for size in sizes], dtype=torch.int64)
    return torch.where(hashes == 0, 0, 1 + torch.remainder(hashes, last))


def example_inputs(manifest: TrainingManifest, rows: int = _EXAMPLES) -> Inputs:
    """Inputs of the right shapes, all zero."""
    inputs = {
        "domain": torch.zeros(rows, dtype=torch.int64),
        "categorical": torch.zeros(rows, len(manifest.categorical), dtype=torch.int64),
        "dense": torch.zeros(rows, len(manifest.dense)),
    }
    for sequence in manifest.sequences:
        inputs[f"{sequence.name}/ids"] = torch.zeros(rows, sequence.length, len(sequence.ids), dtype=torch.int64)
        inputs[f"{sequence.name}/dense"] = torch.zeros(rows, sequence.length, len(sequence.dense))
        inputs[f"{sequence.name}/length"] = torch.zeros(rows, dtype=torch.int64)
    return inputs


def export_program(network: Model, manifest: TrainingManifest, float8: Scaling | None = None) -> ExportedProgram:
    """The serving part as a graph of PyTorch's own operators, for batches of any size.

    ``float8``: with its linear layers' weights in FP8, and how they are scaled.
    """
    inputs = example_inputs(manifest)
    batch = Dim("batch", min=1)
    with torch.no_grad():
        program = torch.export.export(
            Serving(network, manifest, float8).eval(),
            (inputs,),
            dynamic_shapes=({name: {0: batch} for name in inputs},),
            strict=False,
        )
    for node in program.graph.nodes:  # where in this project each came from, and the paths of its files
        for note in ("stack_trace", "nn_module_stack", "source_fn_stack", "from_node"):
            node.meta.pop(note, None)
    return program
