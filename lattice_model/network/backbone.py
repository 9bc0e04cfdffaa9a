"""The backbone: Transformer and Fusion Blocks in turn, with Extended Context Storage (paper 3.3.2).

Shapes: B impressions, S sequence tokens, M non-sequence tokens in, X out, d width of a token.
"""

from collections.abc import Sequence
from functools import partial
from itertools import islice

from torch import Tensor, nn

from lattice_model.network.config import Hyperparameters
from lattice_model.network.context_storage import ExtendedContextStorage
from lattice_model.network.fusion import FusionBlock
from lattice_model.network.normalisation import SwishRMSNorm
from lattice_model.network.transformer import TransformerBlock
from lattice_model.network.untied import Untied, domain_groups

MIXING = "mixing"


def sequence_name(layer: int) -> str:
    """Under which a layer's Transformer Block stores O'_s."""
    return f"layer_{layer}.sequence"


def fusion_name(layer: int) -> str:
    """Under which a layer's Fusion Block stores O'_cd."""
    return f"layer_{layer}.fusion"


class Backbone(nn.Module):
    """Each layer: O'_s = TB(O_s, O_cd), then O'_cd = DWFB([O'_s; O_cd; what it reads from the store]).

    Either may be a stack of blocks. With dense residuals a layer's first Fusion Block reads the inputs of all earlier
    layers'. A model without sequences has Fusion Blocks alone. Blocks of untied layers are ``Untied``.
    """

    def __init__(
        self, *, tokens: int, sequence_tokens: int, hyper: Hyperparameters, domains: Sequence[str] = ()
    ) -> None:
        super().__init__()
        groups = domain_groups(domains, hyper.untied_groups)
        activation = partial(SwishRMSNorm, gate=hyper.gate, block=hyper.norm_block)
        self.transformers = nn.ModuleList()
        self.fusions = nn.ModuleList()
        self.depths: list[tuple[int, int]] = []
        """Transformer and Fusion Blocks of each layer."""
        self.reads: list[list[str]] = []
        stored: dict[str, int] = {}  # non-sequence outputs so far: name -> tokens
        previous, self.tokens = MIXING, tokens
        for layer in range(hyper.layers):
            depth = hyper.fusion_depths[min(layer, len(hyper.fusion_depths) - 1)]
            self.depths.append((hyper.transformer_depth if sequence_tokens else 0, depth))
            untied = groups if layer in hyper.untied_layers else []
            reads = list(stored) if hyper.dense_residuals else []
            for _ in range(self.depths[-1][0]):
                block = TransformerBlock(context_tokens=self.tokens, hyper=hyper, activation=activation)
                self.transformers.append(Untied(block, untied) if untied else block)
            stored[previous] = self.tokens
            read_tokens = sequence_tokens + sum(stored[name] for name in reads)
            for _ in range(depth):
                fusion = FusionBlock(tokens=self.tokens, read_tokens=read_tokens, hyper=hyper, activation=activation)
                self.fusions.append(Untied(fusion, untied) if untied else fusion)
                self.tokens, read_tokens = fusion.tokens, 0
            self.reads.append([sequence_name(layer), *reads] if sequence_tokens else reads)
            previous = fusion_name(layer)

    def forward(self, o_s_BSd: Tensor, o_cd_BMd: Tensor, domain_B: Tensor | None = None) -> Tensor:
        """Return (B, X, d), the last layer's non-sequence tokens; untied layers need the rows' domains."""
        store = ExtendedContextStorage()
        store.write(MIXING, o_cd_BMd)
        transformers, fusions = iter(self.transformers), iter(self.fusions)
        for layer, ((transformer_depth, fusion_depth), reads) in enumerate(zip(self.depths, self.reads, strict=True)):
            for transformer in islice(transformers, transformer_depth):
                o_s_BSd = _through(transformer, domain_B, o_s_BSd, o_cd_BMd)
            if transformer_depth:
                store.write(sequence_name(layer), o_s_BSd)
            read = store.read(reads)
            for fusion in islice(fusions, fusion_depth):
                o_cd_BMd, read = _through(fusion, domain_B, o_cd_BMd, read), []
            store.write(fusion_name(layer), o_cd_BMd)
        return o_cd_BMd


def _through(block: nn.Module, domain_B: Tensor | None, *inputs: Tensor | Sequence[Tensor]) -> Tensor:
    return block(domain_B, *inputs) if isinstance(block, Untied) else block(*inputs)
