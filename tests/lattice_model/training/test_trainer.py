"""A run learns, repeats itself bit for bit, says how it went, and stops when the numbers go bad."""

import hashlib
import re
from dataclasses import replace
from io import StringIO
from pathlib import Path

import numpy as np
import pytest
import torch
from rich.console import Console
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from jobs.software import software
from lattice_model.loader import Loader
from lattice_model.loading.rows import Loaded
from lattice_model.supervision.masked_bce import head_targets, masked_bce
from lattice_model.training.checkpoint import load
from lattice_model.training.log import TrainingLog, head_name
from lattice_model.training.trainer import CHECKPOINT, LOG, SCALARS, train
from schemas.errors import LatticeError
from tests.lattice_model.factories import make_batch
from tests.lattice_model.tables import make_table, write_files
from tests.lattice_model.training.runs import CONFIG, HYPER, MANIFEST, NETWORK, InMemory, made_up, run


def learnable(steps: int) -> InMemory:
    """Batches in which every label says whether the first number is positive."""
    loaded = []
    for seed in range(steps):
        batch = make_batch(MANIFEST, 128, seed)
        sign_B1 = (batch.dense_BF[:, :1].nan_to_num() > 0).float()
        loaded.append(Loaded(replace(batch, labels_BO=torch.where(batch.labels_BO.isnan(), torch.nan, sign_B1)), {}))
    return InMemory(loaded)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"optimizer": "soap"},
        {"optimizer": "shampoo"},
        {"clipping": "clippy"},
        {"correlation_weight": 0.1, "metabalance": "buy"},
    ],
    ids=["defaults", "soap", "shampoo", "clippy", "metabalance"],
)
def test_a_run_learns(tmp_path: Path, changes: dict[str, object]) -> None:
    log = run(tmp_path, CONFIG.model_copy(update={"epochs": 4, "learning_rate": 1e-2, **changes}), learnable(20))
    assert log.curve[0].loss == pytest.approx(np.log(2), abs=0.1)
    assert log.curve[-1].loss < 0.3


def test_two_runs_are_the_same_bit_for_bit(tmp_path: Path) -> None:
    first, second = (run(tmp_path / name) for name in ("first", "second"))
    assert [point.loss for point in first.curve] == [point.loss for point in second.curve]
    assert [point.head_losses for point in first.curve] == [point.head_losses for point in second.curve]
    weights = [load(tmp_path / name / CHECKPOINT).network.state_dict() for name in ("first", "second")]
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])
    other = run(tmp_path / "other", CONFIG.model_copy(update={"seed": 2}))
    assert first.curve[0].loss != other.curve[0].loss


def test_the_caller_s_random_numbers_are_left_alone(tmp_path: Path) -> None:
    before = torch.get_rng_state()
    run(tmp_path)
    assert torch.equal(torch.get_rng_state(), before)


def test_the_log_says_how_it_went(tmp_path: Path) -> None:
    log = run(tmp_path)
    assert TrainingLog.read(tmp_path / LOG) == log
    assert (log.steps, log.rows, log.split, log.fingerprint) == (12, 768, "test", MANIFEST.fingerprint)
    assert [point.step for point in log.curve] == list(range(1, 13))
    assert [point.epoch for point in log.curve] == [1] * 6 + [2] * 6
    assert log.heads == tuple(head_name(*head) for head in MANIFEST.heads())
    assert 0 <= log.waiting_share < 1 and log.rows_per_second > 0
    weights = load(tmp_path / CHECKPOINT).network
    assert log.dense_parameters + log.embedding_parameters == sum(part.numel() for part in weights.parameters())


def test_progress_shows_loss_rows_a_second_and_the_time_left(tmp_path: Path) -> None:
    screen = StringIO()
    run(tmp_path, console=Console(file=screen, force_terminal=True, width=120, no_color=True))
    assert re.search(r"training .* 12/12 loss \d\.\d{4}, [\d,]+ rows/s \d:\d\d:\d\d", screen.getvalue())


def test_the_log_names_code_lock_and_versions(tmp_path: Path) -> None:
    """From the run's own place: a clone has its lock beside the code."""
    made_by = software()
    log = train(
        config=CONFIG.model_copy(update={"steps": 1}),
        network_config=NETWORK,
        batches=made_up(1),
        manifest=MANIFEST,
        split="test",
        folder=tmp_path,
        software=made_by,
        console=Console(quiet=True),
    )
    assert log.software == made_by and made_by.torch == torch.__version__
    root = Path(__file__).parents[3]
    assert made_by.lock in {
        hashlib.sha256((root / name).read_bytes()).hexdigest() for name in ("cpu.lock", "cuda.lock")
    }
    assert len(made_by.code) >= 12
    assert log.tables == MANIFEST.tables and log.config.seed == CONFIG.seed


def test_a_log_of_another_release_is_one_message(tmp_path: Path) -> None:
    log = run(tmp_path, CONFIG.model_copy(update={"epochs": 1}), made_up(1))
    (tmp_path / LOG).write_text(log.model_dump_json().replace('"space"', '"room"'))
    with pytest.raises(LatticeError, match="of another release"):
        TrainingLog.read(tmp_path / LOG)


def test_the_first_point_is_the_loss_of_the_initial_network(tmp_path: Path) -> None:
    """Without dropout the first step's losses can be computed beside the run."""
    hyper = HYPER.model_copy(update={"dropout": 0.0})
    config = NETWORK.model_copy(update={"hyper": hyper})
    batches = made_up(1)
    log = train(
        config=CONFIG.model_copy(update={"epochs": 1}),
        network_config=config,
        batches=batches,
        manifest=MANIFEST,
        split="test",
        folder=tmp_path,
    )
    with torch.random.fork_rng():
        torch.manual_seed(CONFIG.seed)
        network = type(load(tmp_path / CHECKPOINT).network)(config)
    batch = batches.batches[0].batch
    losses = masked_bce(network(batch), head_targets(batch.labels_BO, batch.window_B, config.inputs.heads))
    assert log.curve[0].loss == pytest.approx(losses.total.item())
    assert list(log.curve[0].head_losses.values()) == pytest.approx(losses.mean_H.tolist())


def test_scalars_are_those_of_the_last_run(tmp_path: Path) -> None:
    run(tmp_path)
    log = run(tmp_path)
    events = EventAccumulator(str(tmp_path / SCALARS))
    events.Reload()
    assert {"loss", "learning_rate", "rows_per_second", "waiting_share", "head/click"} <= set(events.Tags()["scalars"])
    assert [event.step for event in events.Scalars("loss")] == [point.step for point in log.curve]
    assert [event.value for event in events.Scalars("loss")] == pytest.approx([point.loss for point in log.curve])


def test_a_head_without_labels_has_no_loss(tmp_path: Path) -> None:
    batches = [item.batch for item in made_up(3).batches]
    for batch in batches:
        batch.labels_BO[:, 2] = torch.nan
    log = run(tmp_path, batches=InMemory([Loaded(batch, {}) for batch in batches]))
    assert log.curve[0].head_losses["redeem/7d"] is None
    assert log.curve[0].head_losses["buy/7d"] is not None


def test_bad_numbers_stop_the_run(tmp_path: Path) -> None:
    batches = made_up(4)
    batches.batches[2].batch.labels_BO[0, 0] = torch.inf
    with pytest.raises(LatticeError, match=r"step 3.*\n.*no finite number") as caught:
        run(tmp_path, batches=batches)
    assert "learning_rate" in caught.value.remedy
    assert not (tmp_path / CHECKPOINT).exists() and not (tmp_path / LOG).exists()


def test_bf16_stays_close(tmp_path: Path) -> None:
    exact = run(tmp_path / "exact")
    rough = run(tmp_path / "rough", CONFIG.model_copy(update={"bf16": True}))
    assert rough.curve[-1].loss == pytest.approx(exact.curve[-1].loss, rel=0.05)
    assert rough.curve[0].loss != exact.curve[0].loss


def test_compiled_stays_close(tmp_path: Path) -> None:
    """By the real compiler; losses agree to 1e-4. Without dropout, whose draws differ in compiled code."""
    hyper = HYPER.model_copy(update={"dropout": 0.0})
    logs = [
        train(
            config=CONFIG.model_copy(update={"epochs": 1, "compile": compiled}),
            network_config=NETWORK.model_copy(update={"hyper": hyper}),
            batches=made_up(3),
            manifest=MANIFEST,
            split="test",
            folder=tmp_path / str(compiled),
        )
        for compiled in (False, True)
    ]
    losses = [[point.loss for point in log.curve] for log in logs]
    assert losses[1] == pytest.approx(losses[0], rel=1e-4)


def test_a_run_of_so_many_steps(tmp_path: Path) -> None:
    assert run(tmp_path, CONFIG.model_copy(update={"steps": 8})).steps == 8
    accumulated = run(tmp_path, CONFIG.model_copy(update={"accumulate": 4}))
    assert (accumulated.steps, accumulated.rows) == (4, 768)
    assert [point.rows for point in accumulated.curve] == [256, 384, 640, 768]


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(LatticeError, match="cannot be made"):
        run(tmp_path / "file" / "run")


def test_it_trains_from_parquet_files(tmp_path: Path) -> None:
    files = write_files(make_table(MANIFEST, 300), tmp_path / "table")

    def from_files(name: str) -> TrainingLog:
        return train(
            config=CONFIG,
            network_config=NETWORK,
            batches=Loader(files, MANIFEST, batch_size=64, held=100),
            manifest=MANIFEST,
            split="test",
            folder=tmp_path / name,
        )

    first, second = from_files("first"), from_files("second")
    assert (first.steps, first.rows) == (10, 600)
    assert [point.loss for point in first.curve] == [point.loss for point in second.curve]
