"""Event sequences through an attention-based event model (paper 3.3.1; M3C 3.1.2).

Shapes: B impressions, N events of a source, K outputs, S tokens of all sources, d width of a token.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from lattice_model.batch import SequenceBatch
from lattice_model.network.attention import Attention
from lattice_model.network.event_embedding import EventEmbedder
from lattice_model.network.normalisation import RMSNorm
from schemas.manifest import SequenceInput


class EventModel(nn.Module):
    """One source: events contextualised by self-attention with RoPE, read out by K learned queries.

    Padding is never attended to; a source without events gives zeros.
    """

    def __init__(
        self, *, dim: int, heads: int, layers: int, outputs: int, rotary: bool = True, normalised: bool = True
    ) -> None:
        super().__init__()
        self.norms = nn.ModuleList(RMSNorm(dim) for _ in range(layers))
        self.attentions = nn.ModuleList(
            Attention(dim=dim, heads=heads, rotary=rotary, normalised=normalised) for _ in range(layers)
        )
        self.queries_Kd = nn.Parameter(torch.randn(outputs, dim))
        self.readout_norm = RMSNorm(dim)
        self.readout = Attention(dim=dim, heads=heads, rotary=False, normalised=normalised)

    def forward(self, events_BNd: Tensor, lengths_B: Tensor) -> Tensor:
        """Return (B, K, d)."""
        filled_BN = torch.arange(events_BNd.shape[1], device=lengths_B.device) < lengths_B[:, None]
        some_B = lengths_B > 0
        visible_BN = filled_BN | ~some_B[:, None]  # attention needs a key; what an empty row gives is zeroed below
        for norm, attention in zip(self.norms, self.attentions, strict=True):
            normed_BNd = norm(events_BNd)
            events_BNd = events_BNd + attention(normed_BNd, normed_BNd, visible_BN)
        queries_BKd = self.queries_Kd.expand(lengths_B.shape[0], -1, -1)
        return self.readout(queries_BKd, self.readout_norm(events_BNd), visible_BN) * some_B[:, None, None]


class MeanEvents(nn.Module):
    """One source as one token, the mean of its events: without attention, as BARS reads KuaiVideo's; zeros if none."""

    def forward(self, events_BNd: Tensor, lengths_B: Tensor) -> Tensor:
        """Return (B, 1, d)."""
        filled_BN = torch.arange(events_BNd.shape[1], device=lengths_B.device) < lengths_B[:, None]
        sum_B1d = (events_BNd * filled_BN[..., None]).sum(1, keepdim=True)
        return sum_B1d / lengths_B.clamp(min=1)[:, None, None]


class SequenceProcessor(nn.Module):
    """O_s: the outputs of every source's event model, one after the other; zero where the domain lacks the source."""

    def __init__(
        self,
        *,
        sources: Sequence[SequenceInput],
        domains: Sequence[str],
        dim: int,
        heads: int,
        layers: int,
        outputs: int,
        rotary: bool = True,
        normalised: bool = True,
        encoded: bool = False,
        averaged: bool = False,
    ) -> None:
        super().__init__()
        self.tokens = (1 if averaged else outputs) * len(sources)
        self.dim = dim
        self.events = EventEmbedder(sources=sources, domains=domains, dim=dim, encoded=encoded)
        self.models = nn.ModuleList(
            MeanEvents()
            if averaged
            else EventModel(dim=dim, heads=heads, layers=layers, outputs=outputs, rotary=rotary, normalised=normalised)
            for _ in sources
        )

    def forward(self, sequences: dict[str, SequenceBatch], domain_B: Tensor) -> Tensor:
        """Return (B, S, d)."""
        embedded = self.events(sequences, domain_B)
        if not embedded:
            return torch.zeros(domain_B.shape[0], 0, self.dim, device=domain_B.device)
        return torch.cat(
            [
                model(events_BNd, lengths_B)
                for model, (events_BNd, lengths_B) in zip(self.models, embedded, strict=True)
            ],
            dim=1,
        )
