"""Normalisation of raw numbers, by what the manifest fitted on training rows.

Shapes: B impressions, F dense features, Q quantiles.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from schemas.manifest import Normaliser

LIMIT = 8.0
"""Standardised values are held within this many standard deviations."""

Picked = slice | list[int]
"""Positions of some of the features."""
EVERY = slice(None)


def signed_log(x: Tensor) -> Tensor:
    """``sign(x) log(1 + |x|)``, with 0 for NaN."""
    finite = x.nan_to_num(0.0)
    return finite.sign() * finite.abs().log1p()


def quantile_code(x_FB: Tensor, knots_FQ: Tensor, count_F: Tensor) -> Tensor:
    """The position of x among its feature's knots, linear between them, from -1 (first or below) to 1 (last or above).

    ``knots_FQ`` is strictly increasing in its first ``count_F`` places and infinite after them.
    """
    last_F1 = (count_F - 1).clamp(min=0)[:, None]
    above_FB = torch.searchsorted(knots_FQ, x_FB, right=True)
    lower_FB = (above_FB - 1).clamp(min=0).minimum(last_F1)
    low_FB = knots_FQ.gather(1, lower_FB)
    step_FB = knots_FQ.gather(1, above_FB.minimum(last_F1)) - low_FB
    fraction_FB = torch.where(step_FB > 0, (x_FB - low_FB) / step_FB, 0.0)
    return 2.0 * (lower_FB + fraction_FB) / last_F1.clamp(min=1) - 1.0


class Scaler(nn.Module):
    """Raw numbers to four inputs a feature: standardised signed log, quantile code, known (0 or 1), unknown (0 or 1).

    An unknown value (NaN) is 0, 0, 0, 1. Always float32.
    """

    INPUTS = 4

    def __init__(self, normalisers: Sequence[Normaliser]) -> None:
        super().__init__()
        knots = [sorted(set(normaliser.quantiles)) or [0.0] for normaliser in normalisers]
        width = max(map(len, knots), default=1)
        padded = [[*values, *[torch.inf] * (width - len(values))] for values in knots]
        self.mean_F1: Tensor
        self.std_F1: Tensor
        self.knots_FQ: Tensor
        self.count_F: Tensor
        self.register_buffer("mean_F1", torch.tensor([part.mean for part in normalisers]).reshape(-1, 1))
        self.register_buffer("std_F1", torch.tensor([part.std or 1.0 for part in normalisers]).reshape(-1, 1))
        self.register_buffer("knots_FQ", torch.tensor(padded).reshape(-1, width))
        self.register_buffer("count_F", torch.tensor([len(values) for values in knots], dtype=torch.int64))

    def forward(self, raw_BF: Tensor, features: Picked = EVERY) -> Tensor:
        """Return (F, B, 4); ``features`` says of which features the columns are."""
        raw_FB = raw_BF.T.contiguous()
        known_FB = ~raw_FB.isnan()
        standard_FB = ((signed_log(raw_FB) - self.mean_F1[features]) / self.std_F1[features]).clamp(-LIMIT, LIMIT)
        code_FB = quantile_code(raw_FB.nan_to_num(0.0), self.knots_FQ[features], self.count_F[features])
        return torch.stack([standard_FB * known_FB, code_FB * known_FB, known_FB.float(), (~known_FB).float()], dim=-1)
