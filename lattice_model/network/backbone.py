"""The backbone: Transformer and Fusion Blocks in turn, with Extended Context Storage (paper 3.3.2).

Shapes: B impressions, S sequence tokens, M non-sequence tokens in, X out, d width of a token.
"""

from torch import Tensor, nn

from lattice_model.network.config import Hyperparameters
from lattice_model.network.context_storage import ExtendedContextStorage
from lattice_model.network.fusion import FusionBlock
from lattice_model.network.transformer import TransformerBlock

MIXING = "mixing"


def sequence_name(layer: int) -> str:
    """Under which a layer's Transformer Block stores O'_s."""
    return f"layer_{layer}.sequence"


def fusion_name(layer: int) -> str:
    """Under which a layer's Fusion Block stores O'_cd."""
    return f"layer_{layer}.fusion"


class Backbone(nn.Module):
    """Each layer: O'_s = TB(O_s, O_cd), then O'_cd = DWFB([O'_s; O_cd; what it reads from the store]).

    With dense residuals a Fusion Block reads the inputs of all earlier ones. A model without sequences has Fusion
    Blocks alone.
    """

    def __init__(self, *, tokens: int, sequence_tokens: int, hyper: Hyperparameters) -> None:
        super().__init__()
        self.transformers = nn.ModuleList()
        self.fusions = nn.ModuleList()
        self.reads: list[list[str]] = []
        stored: dict[str, int] = {}  # non-sequence outputs so far: name -> tokens
        previous, self.tokens = MIXING, tokens
        for layer in range(hyper.layers):
            reads = list(stored) if hyper.dense_residuals else []
            if sequence_tokens:
                self.transformers.append(
                    TransformerBlock(
                        dim=hyper.dim,
                        heads=hyper.attention_heads,
                        context_tokens=self.tokens,
                        ffn_width=hyper.ffn_width,
                        rank=hyper.generated_rank,
                        dropout=hyper.dropout,
                    )
                )
            fusion = FusionBlock(
                tokens=self.tokens,
                read_tokens=sequence_tokens + sum(stored[name] for name in reads),
                dim=hyper.dim,
                rank=hyper.fmb_rank,
                widths=hyper.fmb_widths,
                fmb_tokens=hyper.fmb_tokens,
                lcb_tokens=hyper.lcb_tokens,
                dropout=hyper.dropout,
            )
            self.fusions.append(fusion)
            self.reads.append([sequence_name(layer), *reads] if sequence_tokens else reads)
            stored[previous] = self.tokens
            previous, self.tokens = fusion_name(layer), fusion.tokens

    def forward(self, o_s_BSd: Tensor, o_cd_BMd: Tensor) -> Tensor:
        """Return (B, X, d), the last layer's non-sequence tokens."""
        store = ExtendedContextStorage()
        store.write(MIXING, o_cd_BMd)
        for layer, (fusion, reads) in enumerate(zip(self.fusions, self.reads, strict=True)):
            if len(self.transformers):
                o_s_BSd = store.write(sequence_name(layer), self.transformers[layer](o_s_BSd, o_cd_BMd))
            o_cd_BMd = store.write(fusion_name(layer), fusion(o_cd_BMd, store.read(reads)))
        return o_cd_BMd
