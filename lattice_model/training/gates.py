"""Whether a model that was trained on may serve in place of the one before."""

from collections.abc import Mapping
from typing import Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from lattice_model.evaluation.heads import HeadSums, add_up
from schemas.errors import LatticeError


class Gates(BaseModel):
    """What the freshest rows, which neither model was trained on, must say."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    hours: float = Field(default=24.0, gt=0, description="The rows that judge became available in the last so many.")
    ne_at_most_worse: float = Field(
        default=0.002, ge=0, description="How much higher normalized entropy over all labels may be than before."
    )
    calibration: tuple[float, float] = Field(
        default=(0.9, 1.1), description="Between which lies predicted over observed of each objective."
    )
    minimum_positives: int = Field(
        default=100, ge=1, description="Below which an objective's calibration is not judged; one must have them."
    )

    @model_validator(mode="after")
    def _a_range(self) -> Self:
        low, high = self.calibration
        if not 0 <= low <= 1 <= high:
            raise LatticeError(
                "the gates' setting calibration",
                f"{low} to {high} is no range around 1, where predictions are right.",
                "Give two numbers such as [0.9, 1.1].",
            )
        return self


def failures(gates: Gates, before: Mapping[str, HeadSums], after: Mapping[str, HeadSums]) -> list[str]:
    """Why the model ``after`` may not serve, in words; empty if it may. Both are sums by objective on the same rows."""
    judged = {name: sums for name, sums in after.items() if sums.positives >= gates.minimum_positives}
    if not judged:
        return [f"no objective has {gates.minimum_positives} positives on the freshest rows, so nothing can be judged"]
    found = []
    old, new = (add_up(sums.values()).normalized_entropy for sums in (before, after))
    if old is not None and (new is None or not new <= old + gates.ne_at_most_worse):
        found.append(f"its normalized entropy is {new:.4f}, that of the serving model {old:.4f}")
    low, high = gates.calibration
    for name, sums in judged.items():
        ratio = sums.calibration
        if ratio is None or not low <= ratio <= high:
            found.append(f"its calibration of '{name}' is {ratio:.3f}, outside {low} to {high}")
    return found
