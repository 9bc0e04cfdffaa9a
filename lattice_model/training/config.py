"""How one training run goes; what is computed is the network's configuration."""

from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from lattice_model.supervision.masked_bce import Balance
from schemas.errors import LatticeError


class TrainingConfig(BaseModel):
    """Frozen and checked where it is built; the same values on the same table give the same model."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    epochs: int = Field(default=1, ge=1)
    batch_size: int = Field(default=4096, ge=1, description="Rows a step.")
    optimizer: Literal["adamw", "soap", "shampoo"] = Field(
        default="adamw", description="Of the dense matrices; the other dense parameters keep AdamW."
    )
    precondition_every: int = Field(
        default=10, ge=1, description="Steps between decompositions of soap's and shampoo's statistics."
    )
    learning_rate: float = Field(default=1e-3, gt=0, description="Peak, of the dense parameters.")
    embedding_learning_rate: float = Field(default=2e-2, gt=0, description="Peak, of the tables (row-wise Adagrad).")
    weight_decay: float = Field(default=1e-2, ge=0, description="Decoupled; on matrices only, never on tables.")
    warmup: float = Field(default=0.05, ge=0, lt=1, description="Share of the steps with a rising learning rate.")
    schedule: Literal["cosine", "linear", "constant"] = Field(default="cosine", description="After the warm-up.")
    final_share: float = Field(
        default=0.05, ge=0, le=1, description="Learning rate at the end, as a share of the peak."
    )
    clipping: Literal["norm", "clippy"] = Field(
        default="norm", description="Of the dense parameters: their gradient's norm, or each one's update (Clippy)."
    )
    clip_norm: float = Field(default=1.0, gt=0, description="norm: the largest norm of the dense parameters' gradient.")
    clippy_relative: float = Field(
        default=0.5, ge=0, description="clippy: the largest change of a weight, as a share of it, beside the next."
    )
    clippy_absolute: float = Field(default=1e-2, gt=0, description="clippy: added to that share.")
    balance: Balance = Field(default="labels", description="Whether labels or heads weigh alike in the loss.")
    label_smoothing: float = Field(default=0.0, ge=0, lt=1, description="Share of an even chance in every label.")
    correlation_weight: float = Field(default=0.0, ge=0, description="Of the cross-domain correlation loss; 0: off.")
    metabalance: str | None = Field(
        default=None, description="The objective to whose gradient's norms the others' are scaled; none: they are not."
    )
    metabalance_relax: float = Field(default=0.7, ge=0, le=1, description="How far: 1 to the same norm, 0 not at all.")
    metabalance_decay: float = Field(default=0.9, ge=0, lt=1, description="Of the norms' moving averages.")
    seed: int = Field(default=1, ge=0, description="Of initial weights, dropout and the order of rows.")
    bf16: bool = Field(default=False, description="Autocast of matrix products to bfloat16.")
    compile: bool = Field(default=False, description="torch.compile of the network.")
    threads: int | None = Field(default=None, ge=1, description="CPU threads of torch; default: torch's own choice.")
    shuffle_rows: int = Field(default=131_072, ge=1, description="Rows held by the shuffling buffer.")

    @model_validator(mode="after")
    def _one_graph_a_backward(self) -> Self:
        if self.metabalance is not None and self.compile:
            raise LatticeError(
                "the training settings metabalance and compile",
                "A compiled network's graph serves one backward pass, and MetaBalance takes one an objective.",
                "Set compile to false, or leave metabalance out.",
            )
        return self
