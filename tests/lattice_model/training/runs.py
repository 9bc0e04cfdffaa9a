"""What tests of training share: batches in memory, and a small run on them."""

from collections.abc import Generator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from rich.console import Console

from lattice_model.loading.rows import Loaded
from lattice_model.network import Hyperparameters, LatticeConfig, LatticeNetwork
from lattice_model.training.config import TrainingConfig
from lattice_model.training.log import TrainingLog
from lattice_model.training.trainer import train
from schemas.manifest import TrainingManifest
from tests.lattice_model.factories import make_batch, make_manifest

MANIFEST = make_manifest()
HYPER = Hyperparameters(
    dim=8, layers=1, event_outputs=2, dense_tokens=4, fmb_tokens=4, fmb_widths=(16,), lcb_tokens=4, task_width=8
)
NETWORK = LatticeConfig.from_manifest(MANIFEST, "test", HYPER)
CONFIG = TrainingConfig(batch_size=64, learning_rate=5e-3, epochs=2, threads=1)


@dataclass(frozen=True)
class InMemory:
    """The same batches every epoch."""

    batches: Sequence[Loaded]

    @property
    def steps(self) -> int:
        return len(self.batches)

    def epoch(self, number: int = 0, start: int = 0) -> Generator[Loaded]:
        yield from self.batches[start:]


def made_up(steps: int = 6, size: int = 64, manifest: TrainingManifest = MANIFEST) -> InMemory:
    return InMemory([Loaded(make_batch(manifest, size, seed), {}) for seed in range(steps)])


def run(
    folder: Path, config: TrainingConfig = CONFIG, batches: InMemory | None = None, console: Console | None = None
) -> TrainingLog:
    return train(
        config=config,
        network_config=NETWORK,
        batches=batches or made_up(),
        manifest=MANIFEST,
        split="test",
        folder=folder,
        console=console or Console(quiet=True),
    )


def network(seed: int = 0) -> LatticeNetwork:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return LatticeNetwork(NETWORK)
