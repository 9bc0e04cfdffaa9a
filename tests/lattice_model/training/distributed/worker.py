"""Runs under torchrun, one after the other: ``torchrun -m (this module) FOLDER NAME...``, each NAME one of ``RUNS``.

A run is named for its settings; ``until`` ends it, as a kill would, before it saves the state of a later step.
"""

import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from rich.console import Console

from lattice_model.evaluation.predictions import KEYS
from lattice_model.loader import Loader, Selection
from lattice_model.training.config import TrainingConfig
from lattice_model.training.distributed.checkpoint import ShardedSaver
from lattice_model.training.distributed.group import ALONE, Group, connected
from lattice_model.training.log import TrainingLog
from lattice_model.training.run import Run
from lattice_model.training.trainer import train
from schemas.errors import LatticeError
from tests.lattice_model.tables import make_table, write_files
from tests.lattice_model.training.runs import HYPER, MANIFEST, NETWORK

ROWS = 500
PLAIN = NETWORK.model_copy(update={"hyper": HYPER.model_copy(update={"dropout": 0.0})})
"""Without dropout, whose draws differ between one process and several."""
UNTIED = PLAIN.model_copy(
    update={"hyper": PLAIN.hyper.model_copy(update={"untied_layers": (0,), "towers": "domain", "dim": 16})}
)


@dataclass(frozen=True)
class Planned:
    """One run."""

    settings: dict[str, Any] = field(default_factory=dict)
    network: Any = PLAIN
    until: int = 0
    continued: str | None = None


SHARDED, EVERY_STEP = {"shard_from": 1}, {"save_every": 0.0}
SOAP = {"optimizer": "soap", "precondition_every": 3, "shard_from": None}
RUNS = {
    "replicated": Planned(),
    "sharded": Planned(SHARDED | {"early_stopping": {"every": 4, "patience": 9}}),
    "clippy": Planned(SHARDED | {"clipping": "clippy", "clippy_absolute": 1e-3, "balance": "heads"}),
    "soap": Planned(SOAP),
    "untied": Planned(SHARDED, UNTIED),
    "bf16": Planned(SHARDED | {"bf16": True}),
    "formats": Planned(SHARDED | {"precision": {"processors": "bf16", "transformer": "fp8", "fusion": "fp8"}}, UNTIED),
    "dropped": Planned(SHARDED | EVERY_STEP, NETWORK),
    "dropped-resumed": Planned(SHARDED | EVERY_STEP, NETWORK, until=7),
    "to-one": Planned(SHARDED | EVERY_STEP | {"early_stopping": {"every": 4, "patience": 9}}, until=7),
    "to-two": Planned(SOAP | EVERY_STEP, until=7),
    "killed": Planned(SHARDED | EVERY_STEP | {"epochs": 3}),
    "continued": Planned(SHARDED, continued="replicated-alone"),
}


class Killed(Exception):
    """In place of a kill."""


def config(settings: dict[str, Any]) -> TrainingConfig:
    return TrainingConfig.model_validate(
        {"batch_size": 64, "learning_rate": 5e-3, "epochs": 1, "threads": 1, **settings}
    )


def run(folder: Path, name: str, group: Group = ALONE, *, killed: bool = False) -> TrainingLog:
    """The named run; its data are made beside it: row groups of 40 rows, and of 7 at each file's end.

    In one process it is named so: ``<name>-alone``.
    """
    planned = RUNS[name]
    table = folder / "table"
    if group.first and not table.exists():
        write_files(make_table(MANIFEST, ROWS), table)
    group.first_s(None)
    files = sorted(str(path) for path in table.glob("*.parquet"))
    settings = config(planned.settings)
    if killed:
        _stop_after(planned.until)
    return train(
        config=settings,
        network_config=planned.network,
        batches=Loader(
            files, MANIFEST, batch_size=settings.batch_size, held=300, seed=settings.seed, share=group.share
        ),
        validation=Loader(
            files, MANIFEST, batch_size=256, shuffle=False, keys=KEYS, selection=Selection(split="validation"),
            share=group.share,
        ),
        manifest=MANIFEST,
        split="validation",
        folder=folder / (name if group.distributed else f"{name}-alone"),
        console=Console(stderr=True, width=200) if group.distributed else Console(quiet=True),
        continued=folder / planned.continued if planned.continued else None,
        group=group,
    )  # fmt: skip


def _stop_after(step: int) -> None:
    save = ShardedSaver.save_if_due

    def stopped(saver: ShardedSaver, run: Run) -> None:
        if run.recorder.step > step:
            ShardedSaver.save_if_due = save  # type: ignore[method-assign]
            raise Killed
        save(saver, run)

    ShardedSaver.save_if_due = stopped  # type: ignore[method-assign, assignment]


def main() -> None:
    folder = Path(sys.argv[1])
    torch.set_num_threads(1)
    try:
        with connected() as group:
            for asked in sys.argv[2:]:
                name, _, killed = asked.partition(":")
                try:
                    run(folder, name, group, killed=bool(killed))
                except Killed:
                    continue
    except LatticeError as error:
        sys.stderr.write(f"error: {error}\n")
        sys.exit(2)


if __name__ == "__main__":
    main()
