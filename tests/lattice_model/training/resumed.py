"""A run in a process of its own, for tests that kill it: ``python -m (this module) FOLDER CONFIG``."""

import sys
from pathlib import Path

from rich.console import Console

from lattice_model.evaluation.predictions import KEYS
from lattice_model.loader import Loader, Selection
from lattice_model.training.config import TrainingConfig
from lattice_model.training.log import TrainingLog
from lattice_model.training.trainer import train
from tests.lattice_model.tables import make_table, write_files
from tests.lattice_model.training.runs import MANIFEST, NETWORK

ROWS = 900


def run_from_files(folder: Path, config: TrainingConfig) -> TrainingLog:
    """A run on files beside its folder, which are made if they are not there."""
    table = folder.parent / "table"
    files = sorted(str(path) for path in table.glob("*.parquet")) or write_files(make_table(MANIFEST, ROWS), table)
    return train(
        config=config,
        network_config=NETWORK,
        batches=Loader(files, MANIFEST, batch_size=config.batch_size, held=300, seed=config.seed),
        validation=Loader(
            files, MANIFEST, batch_size=256, shuffle=False, keys=KEYS, selection=Selection(split="validation")
        ),
        manifest=MANIFEST,
        split="validation",
        folder=folder,
        console=Console(stderr=True),
    )


if __name__ == "__main__":
    run_from_files(Path(sys.argv[1]), TrainingConfig.model_validate_json(sys.argv[2]))
