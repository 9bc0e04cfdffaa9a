"""How one training run goes; what is computed is the network's configuration."""

from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from lattice_model.supervision.masked_bce import Balance
from schemas.errors import LatticeError
from schemas.manifest import Split


class EarlyStopping(BaseModel):
    """When a run ends before its time; it keeps the weights of its best evaluation."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    split: Split = Field(default="validation", description="Of the rows that decide; never test.")
    every: int = Field(default=50, ge=1, description="Steps between evaluations; the last step has one too.")
    patience: int = Field(default=3, ge=1, description="Evaluations in a row without a better one that end the run.")
    metric: Literal["normalized_entropy", "auc"] = Field(default="normalized_entropy", description="What decides.")

    @model_validator(mode="after")
    def _validation_chooses(self) -> Self:
        if self.split != "validation":
            raise LatticeError(
                "the training setting early_stopping.split",
                f"A run that stops on the {self.split} range is fitted to it, and its metrics there mean nothing.",
                "Leave split out: validation chooses, test reports.",
            )
        return self


NumberFormat = Literal["fp32", "bf16", "fp8"]


class Precision(BaseModel):
    """In what the matrix products of each family of modules are computed; norms are float32 in all of them."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    processors: NumberFormat = Field(default="fp32", description="Feature processors.")
    mixing: NumberFormat = Field(default="fp32", description="The mixing network.")
    transformer: NumberFormat = Field(default="fp32", description="Transformer Blocks.")
    fusion: NumberFormat = Field(default="fp32", description="Fusion Blocks.")
    heads: NumberFormat = Field(default="fp32", description="Task modules.")
    scaling: Literal["rowwise", "tensorwise"] = Field(
        default="rowwise", description="fp8: a scale for each row of a matrix, or one for all of it."
    )


class TrainingConfig(BaseModel):
    """Frozen and checked where it is built; the same values on the same table give the same model."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    epochs: int = Field(default=1, ge=1)
    steps: int | None = Field(default=None, ge=1, description="Stop after so many steps, if the epochs have more.")
    batch_size: int = Field(default=4096, ge=1, description="Rows a batch.")
    accumulate: int = Field(default=1, ge=1, description="Batches a step, as if they were one.")
    early_stopping: EarlyStopping | None = Field(
        default=None, description="Stop where validation gets no better; none: at the end."
    )
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
    precision: Precision | None = Field(default=None, description="That of each family of modules, in place of bf16.")
    compile: bool = Field(default=False, description="torch.compile of the network.")
    threads: int | None = Field(default=None, ge=1, description="CPU threads of torch; default: torch's own choice.")
    shard_from: int | None = Field(
        default=1_000_000,
        ge=1,
        description="With torchrun: dense blocks of as many parameters are sharded, not replicated. Null: none.",
    )
    shuffle_rows: int = Field(default=131_072, ge=1, description="Rows held by the shuffling buffer.")

    save_every: float = Field(
        default=60.0, ge=0, description="Seconds between saved states, from which a killed run goes on; 0: every step."
    )

    @model_validator(mode="after")
    def _sums_alone_are_accumulated(self) -> Self:
        if self.accumulate > 1 and (self.correlation_weight or self.metabalance is not None):
            raise LatticeError(
                "the training settings accumulate and correlation_weight or metabalance",
                "A correlation, or the norm of an objective's gradient, of a batch is no sum over its parts.",
                "Set accumulate to 1 with a larger batch_size, or leave the other two out.",
            )
        return self

    @model_validator(mode="after")
    def _one_says_how_precise(self) -> Self:
        if self.bf16 and self.precision is not None:
            raise LatticeError(
                "the training settings bf16 and precision",
                "Both say in what matrix products are computed.",
                "Leave bf16 out: precision names bf16 where it is meant.",
            )
        return self

    @model_validator(mode="after")
    def _one_graph_a_backward(self) -> Self:
        if self.metabalance is not None and self.compile:
            raise LatticeError(
                "the training settings metabalance and compile",
                "A compiled network's graph serves one backward pass, and MetaBalance takes one an objective.",
                "Set compile to false, or leave metabalance out.",
            )
        return self
