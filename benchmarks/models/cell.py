"""One cell of a grid: a model with its settings on one part, trained and measured.

Shapes: U users, S replicates.
"""

import inspect
import time
from functools import cache, cached_property
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import numpy as np
from rich.console import Console

from benchmarks import flat, trees
from benchmarks.flat import FlatRows, flat_rows
from benchmarks.models import rows as rows_module
from benchmarks.models.rows import Part, Source, having
from benchmarks.results import Result
from benchmarks.trees import known_when_zipped
from jobs.model_config import ModelConfig
from jobs.target import code_fingerprint, fingerprint
from lattice_model.evaluation.bootstrap import draw
from lattice_model.evaluation.comparison import replicated
from lattice_model.evaluation.evaluate import evaluate
from lattice_model.evaluation.metrics import Floats, Ints
from lattice_model.evaluation.predictions import KEYS, Predictions, predict
from lattice_model.evaluation.results import PortfolioMetrics
from lattice_model.flops import measure
from lattice_model.loader import Loader, Selection
from lattice_model.models import configure, find_kind
from lattice_model.network.config import NetworkConfig
from lattice_model.network.model import Model
from lattice_model.training.checkpoint import load
from lattice_model.training.trainer import CHECKPOINT, train
from schemas.errors import LatticeError
from schemas.manifest import Split, TrainingManifest

LIGHTGBM = "lightgbm"
REPLICATES, BOOTSTRAP_SEED = 500, 1
_ROWS_A_BATCH = 8192


class Cell(Result):
    """What a result depends on. ``kind`` is a model's name, ``settings`` what it is built and trained with."""

    part: Part
    kind: str
    settings: dict[str, Any]
    split: Split
    """Trained on the rows available before its cut, measured on its range."""
    rows: int | None
    """Of ``training``, before the last cut; None: all."""
    data: str
    """The manifest's fingerprint."""
    code: str
    features: tuple[str, ...] | None = None
    """All that the model reads of its part's; None: every one."""

    def of(self, manifest: TrainingManifest) -> TrainingManifest:
        """The manifest with the part and the features alone."""
        return having(self.part.of(manifest), self.features)

    @cached_property
    def key(self) -> str:
        return fingerprint(self.model_dump_json())[:16]


class Outcome(Result):
    """What a cell gave."""

    key: str
    cell: Cell
    portfolios: tuple[PortfolioMetrics, ...]
    trained_rows: int
    """Distinct ones."""
    seconds: float
    """All of the cell."""
    rows_per_second: float | None = None
    """Of training, one thread; of networks alone."""
    mflops: float | None = None
    dense_mparams: float | None = None
    embedding_mparams: float | None = None
    failed: str | None = None
    """What went wrong in training, if it did."""


class Fitted(NamedTuple):
    """A trained network, and the rows that it was trained on."""

    network: Model
    config: NetworkConfig[Any]
    manifest: TrainingManifest
    rows: int
    rows_per_second: float


class Found(NamedTuple):
    """An outcome and, on the test range, each metric of its portfolios in each replicate, (portfolios, S)."""

    outcome: Outcome
    replicates: dict[str, Floats] | None


def code() -> str:
    """A fingerprint of all code that a result depends on."""
    modules = (flat, trees, rows_module, inspect.getmodule(code))
    sources = [inspect.getsource(module) for module in modules if module is not None]
    return fingerprint(code_fingerprint("schemas", "lattice_model"), *sources)[:16]


class Runner:
    """Runs cells on one source; evaluation rows and draws are read once."""

    def __init__(self, source: Source, left_out: tuple[str, ...]) -> None:
        self._source = source
        self._left_out = left_out
        """Categorical features that LightGBM does without."""
        self._flat = cache(self._read_flat)

    def run(self, cell: Cell) -> Found:
        """Train and measure; a training whose loss stops being a number is an outcome without metrics."""
        started = time.perf_counter()
        try:
            outcome, predictions = self._trees(cell) if cell.kind == LIGHTGBM else self._network(cell)
        except LatticeError as error:
            if not error.place.startswith("training, step"):
                raise
            seconds = time.perf_counter() - started
            return Found(
                Outcome(key=cell.key, cell=cell, portfolios=(), trained_rows=0, seconds=seconds, failed=str(error)),
                None,
            )
        replicates = None
        if cell.split == "test":
            users, draws_SU = self._draws
            replicates = replicated(
                predictions, np.searchsorted(users, predictions.keys["user_id"].astype(str)), draws_SU
            )
        return Found(outcome.model_copy(update={"seconds": time.perf_counter() - started}), replicates)

    @cached_property
    def _draws(self) -> tuple[Any, Ints]:
        """The users of all test rows, in order, and how often each is drawn: the same for every part and model."""
        loader = self._loader(Part(), "test", ("user_id",), having(self._source.manifest, ()))
        users = np.unique(np.concatenate([extra["user_id"] for _, extra, _ in loader.epoch()]).astype(str))
        return users, draw(len(users), REPLICATES, BOOTSTRAP_SEED)

    def _loader(self, part: Part, split: Split, keys: tuple[str, ...], manifest: TrainingManifest) -> Loader:
        return Loader(
            self._source.files("evaluation", part),
            manifest,
            batch_size=_ROWS_A_BATCH,
            shuffle=False,
            keys=keys,
            selection=Selection(split=split),
        )

    def fit(self, cell: Cell) -> Fitted:
        """Train the cell's network; the best weights stay in memory alone."""
        manifest = cell.of(self._source.manifest)
        kind = find_kind(cell.kind, "a cell of the grid")
        config: ModelConfig[Any] = ModelConfig[kind.hyper].model_validate(cell.settings)  # type: ignore[name-defined]
        batches = Loader(
            self._source.files("training", cell.part, cell.rows),
            manifest,
            batch_size=config.training.batch_size,
            seed=config.training.seed,
            held=config.training.shuffle_rows,
            selection=Selection(available_before=manifest.cuts[cell.split]),
        )
        network_config = configure(config.network, manifest, cell.split, batches.survey.base_rates())
        with TemporaryDirectory() as folder:
            log = train(
                config=config.training,
                network_config=network_config,
                batches=batches,
                manifest=manifest,
                split=cell.split,
                folder=Path(folder),
                console=Console(quiet=True),
            )
            network = load(Path(folder) / CHECKPOINT).network
        return Fitted(network, network_config, manifest, batches.rows, log.rows_per_second)

    def _network(self, cell: Cell) -> tuple[Outcome, Predictions]:
        fitted = self.fit(cell)
        manifest = fitted.manifest
        predictions = predict(fitted.network, self._loader(cell.part, cell.split, KEYS, manifest).epoch(), manifest)
        cost = measure(fitted.config).total
        outcome = Outcome(
            key=cell.key,
            cell=cell,
            portfolios=_portfolios(predictions, cell),
            trained_rows=fitted.rows,
            seconds=0.0,
            rows_per_second=fitted.rows_per_second,
            mflops=cost.mflops,
            dense_mparams=cost.dense_mparams,
            embedding_mparams=cost.embedding_mparams,
        )
        return outcome, predictions

    def _trees(self, cell: Cell) -> tuple[Outcome, Predictions]:
        manifest = self._source.manifest
        rows, validation = self._flat("training", cell.rows, None), self._flat("evaluation", None, "validation")
        known_RO = known_when_zipped(rows, manifest)
        predictions, counts = trees.choose(rows, known_RO, validation, manifest, cell.settings)
        if cell.split == "test":
            test = self._flat("evaluation", None, "test")
            predictions, _ = trees.refit(rows, known_RO, test, counts, manifest, cell.settings)
        before = rows.keys["available_time"] < trees.moment(manifest.cuts[cell.split])
        outcome = Outcome(
            key=cell.key,
            cell=cell,
            portfolios=_portfolios(predictions, cell),
            trained_rows=int(before.sum()),
            seconds=0.0,
        )
        return outcome, predictions

    def _read_flat(self, table: rows_module.Table, rows: int | None, split: Split | None) -> FlatRows:
        loader = Loader(
            self._source.files(table, Part(), rows),
            self._source.manifest,
            batch_size=_ROWS_A_BATCH,
            shuffle=False,
            keys=("available_time",) if table == "training" else KEYS,
            selection=Selection(split=split),
        )
        return flat_rows(loader.epoch(), self._source.manifest, self._left_out)


def _portfolios(predictions: Predictions, cell: Cell) -> tuple[PortfolioMetrics, ...]:
    return evaluate(predictions, model=cell.kind, split=cell.split).slices[0].portfolios
