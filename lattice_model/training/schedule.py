"""The learning rate over a run."""

import math

from lattice_model.training.config import TrainingConfig


def learning_rate_share(step: int, steps: int, config: TrainingConfig) -> float:
    """The share of the peak learning rate in a step (from 0) of a run of ``steps``.

    It rises linearly through the warm-up, the last step of which is the peak; then it stays, or falls to
    ``final_share`` in the last step, linearly or as half a cosine.
    """
    warmup = round(config.warmup * steps)
    if step < warmup:
        return (step + 1) / warmup
    if config.schedule == "constant":
        return 1.0
    passed = min(1.0, (step + 1 - warmup) / max(1, steps - warmup))
    left = 1 - passed if config.schedule == "linear" else (1 + math.cos(math.pi * passed)) / 2
    return config.final_share + (1 - config.final_share) * left
