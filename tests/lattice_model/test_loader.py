"""The loader on real Parquet files: every row once, exact batches, the same by seed, mistakes named."""

import itertools
import sys
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch
from petastorm.arrow_reader_worker import ArrowReaderWorker

from benchmarks.generated_inputs import make_manifest as wide_manifest
from lattice_model.batch import Batch
from lattice_model.loader import Loaded, Loader, Selection
from lattice_model.loading.mixing import Share
from schemas.errors import LatticeError
from tests.lattice_model.factories import make_manifest
from tests.lattice_model.tables import START, make_table, write_files

ROWS = 500
MANIFEST = make_manifest()
TABLE = make_table(MANIFEST, ROWS)
STOPS = [40, 80, 120, 160, 167, 207, 247, 287, 327, 334, 374, 414, 454, 494, 500]
"""Where the row groups of three files of the table end."""


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    return write_files(TABLE, tmp_path_factory.mktemp("table"))


def impressions(loaded: list[Loaded]) -> list[int]:
    return [int(number) for item in loaded for number in item.keys["impression_id"]]


def tensors(batch: Batch) -> list[torch.Tensor]:
    parts = [batch.categorical.values(), batch.categorical.lengths(), batch.dense_BF, batch.labels_BO]
    parts += [batch.domain_B, batch.window_B, batch.weight_B]
    for sequence in batch.sequences.values():
        parts += [sequence.ids_BNI, sequence.dense_BNE, sequence.lengths_B]
    return parts


def same(first: list[Loaded], second: list[Loaded]) -> bool:
    return len(first) == len(second) and all(
        torch.equal(one.nan_to_num(-9.0), other.nan_to_num(-9.0))
        for a, b in zip(first, second, strict=True)
        for one, other in zip(tensors(a.batch), tensors(b.batch), strict=True)
    )


@pytest.mark.parametrize("shuffle", [True, False])
@pytest.mark.parametrize("batch_size", [1, 64, 500, 1000])
def test_each_row_comes_exactly_once_in_exact_batches(files: list[str], shuffle: bool, batch_size: int) -> None:
    loader = Loader(files, MANIFEST, batch_size=batch_size, shuffle=shuffle, held=100, keys=["impression_id"])
    loaded = list(loader.epoch())
    assert sorted(impressions(loaded)) == list(range(ROWS))
    assert len(loaded) == loader.steps
    assert all(item.batch.size == batch_size for item in loaded[:-1])
    assert loader.rows == ROWS


@pytest.mark.parametrize("shuffle", [True, False])
@pytest.mark.parametrize(("batch_size", "start", "ranks"), [(64, 0, 2), (64, 3, 3), (500, 0, 4), (6, 0, 9)])
def test_processes_share_the_batches_of_one(
    files: list[str], shuffle: bool, batch_size: int, start: int, ranks: int
) -> None:
    """However few rows a batch or a row group has; a process without a row has one of padding, which learns nothing."""

    def loaded(share: Share | None) -> list[Loaded]:
        loader = Loader(
            files, MANIFEST, batch_size=batch_size, shuffle=shuffle, held=100, keys=["impression_id"], share=share
        )
        return list(loader.epoch(1, start))

    whole, shares = loaded(None), [loaded(Share(rank, ranks)) for rank in range(ranks)]
    assert {len(part) for part in shares} == {len(whole)}
    for batch, *parts in zip(whole, *shares, strict=True):
        found = [number for part in parts for number in impressions([part])[: part.rows]]
        assert sorted(found) == sorted(impressions([batch]))
        assert max(part.rows for part in parts) - min(part.rows for part in parts) <= 9  # one for each open row group
        assert all(part.batch.size == max(1, part.rows) for part in parts)
        for part in parts:
            if part.padded:
                assert part.batch.labels_BO.isnan().all() and part.batch.weight_B.tolist() == [0.0]
    assert any(part.padded for share in shares for part in share) == (batch_size < ranks)
    assert same(list(shares[0]), loaded(Share(0, ranks)))


def test_the_values_are_those_of_the_table(files: list[str]) -> None:
    keys = ["impression_id", "user_id", "impression_time"]
    (loaded,) = Loader(files, MANIFEST, batch_size=ROWS, shuffle=False, keys=keys).epoch()
    batch = loaded.batch
    assert loaded.keys["user_id"].tolist() == TABLE["user_id"].to_pylist()
    assert (loaded.keys["impression_time"] == START + np.arange(ROWS).astype("timedelta64[h]")).all()
    for position, number in enumerate(MANIFEST.dense):
        expected = TABLE[number.column].to_pandas().to_numpy()
        assert np.array_equal(batch.dense_BF[:, position].numpy(), expected, equal_nan=True)
    for position, objective in enumerate(MANIFEST.objectives):
        expected = TABLE[objective.column].to_pandas().to_numpy()
        assert np.array_equal(batch.labels_BO[:, position].numpy(), expected, equal_nan=True)
    assert batch.domain_B.tolist() == TABLE["domain_index"].to_pylist()
    assert batch.window_B.tolist() == TABLE["window_index"].to_pylist()
    assert batch.weight_B.tolist() == TABLE["weight"].to_pylist()
    for part in MANIFEST.categorical:
        folded = [1 + value % (part.size - 1) if value else None for value in TABLE[part.column].to_pylist()]
        jagged = batch.categorical[part.name]
        assert jagged.lengths().tolist() == [int(value is not None) for value in folded]
        assert jagged.values().tolist() == [value for value in folded if value is not None]
    sequence, events = MANIFEST.sequences[0], batch.sequences[MANIFEST.sequences[0].name]
    assert events.lengths_B.tolist() == TABLE[sequence.length_column].to_pylist()
    for position, field in enumerate(sequence.ids):
        hashes = np.stack([np.frombuffer(value, "<i8") for value in TABLE[field.column].to_pylist()])
        rows = [[1 + value % (field.size - 1) if value else 0 for value in row] for row in hashes.tolist()]
        assert events.ids_BNI[:, :, position].tolist() == rows
    for position, measure in enumerate(sequence.dense):
        expected = np.stack([np.frombuffer(value, "<f4") for value in TABLE[measure.column].to_pylist()])
        assert np.array_equal(events.dense_BNE[:, :, position].numpy(), expected)


def test_the_same_seed_gives_the_same_batches(files: list[str]) -> None:
    def epochs(seed: int) -> list[list[Loaded]]:
        loader = Loader(files, MANIFEST, batch_size=64, seed=seed, held=120, keys=["impression_id"])
        return [list(loader.epoch(number)) for number in (0, 1)]

    first, again, other = epochs(0), epochs(0), epochs(1)
    assert same(first[0], again[0]) and same(first[1], again[1])
    orders = [impressions(loaded) for loaded in (*first, *other)]
    assert len({tuple(order) for order in orders}) == 4


@pytest.mark.parametrize("shuffle", [True, False])
@pytest.mark.parametrize("start", [0, 1, 5, 8, 9])
def test_an_epoch_can_be_entered_at_any_batch(files: list[str], shuffle: bool, start: int) -> None:
    loader = Loader(files, MANIFEST, batch_size=64, shuffle=shuffle, held=120, keys=["impression_id"])
    whole, rest = list(loader.epoch(1)), list(loader.epoch(1, start))
    assert len(whole) == 8
    assert same(whole[start:], rest)
    assert impressions(whole[start:]) == impressions(rest)


@pytest.mark.parametrize("start", [0, 3, 7])
def test_a_row_group_that_no_batch_needs_is_not_read(
    files: list[str], start: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = []

    def counted(self: ArrowReaderWorker, *arguments: Any) -> Any:
        read.append(arguments)
        return load_rows(self, *arguments)

    load_rows = ArrowReaderWorker._load_rows
    monkeypatch.setattr(ArrowReaderWorker, "_load_rows", counted)
    selection = Selection(available_from=datetime(2024, 1, 1, tzinfo=UTC) + timedelta(hours=100))
    loader = Loader(files, MANIFEST, batch_size=50, shuffle=False, selection=selection, keys=["impression_id"])
    assert impressions(list(loader.epoch(0, start))) == list(range(100 + 50 * start, ROWS))
    assert len(read) == sum(stop > 100 + 50 * start for stop in STOPS)


def test_a_batch_mixes_row_groups_and_files(files: list[str]) -> None:
    first = next(iter(Loader(files, MANIFEST, batch_size=100, held=300, keys=["impression_id"]).epoch()))
    ids = first.keys["impression_id"]
    assert len(set((ids // 40).tolist())) >= 5
    assert len(set((ids // 167).tolist())) == 3


def test_only_rows_available_before_the_cut_are_used(files: list[str]) -> None:
    cut = datetime(2024, 1, 5, tzinfo=UTC) + timedelta(minutes=30)
    selection = Selection(available_before=cut)
    loader = Loader(files, MANIFEST, batch_size=7, keys=["impression_id"], selection=selection)
    assert sorted(impressions(list(loader.epoch()))) == list(range(97))
    assert loader.rows == 97 and loader.steps == 14
    exact = Selection(available_before=datetime(2024, 1, 2, tzinfo=UTC))
    assert Loader(files, MANIFEST, batch_size=7, selection=exact).rows == 24
    between = Selection(available_from=datetime(2024, 1, 2, tzinfo=UTC), available_before=cut)
    loader = Loader(files, MANIFEST, batch_size=7, keys=["impression_id"], selection=between)
    assert sorted(impressions(list(loader.epoch()))) == list(range(24, 97))
    assert loader.survey.row_groups == (16, 40, 17, *[0] * 12)


def test_a_split_is_selected_by_its_name(files: list[str]) -> None:
    loader = Loader(files, MANIFEST, batch_size=64, keys=["impression_id"], selection=Selection(split="test"))
    assert sorted(impressions(list(loader.epoch()))) == list(range(0, ROWS, 3))


def test_spark_s_old_timestamps_mean_the_same(tmp_path: Path) -> None:
    files = write_files(TABLE.slice(0, 60), tmp_path, int96=True)
    selection = Selection(available_before=datetime(2024, 1, 2, tzinfo=UTC))
    loader = Loader(files, MANIFEST, batch_size=64, keys=["impression_id"], selection=selection)
    assert sorted(impressions(list(loader.epoch()))) == list(range(24))


def test_the_survey_counts_the_labels_of_each_head(files: list[str]) -> None:
    loader = Loader(files, MANIFEST, batch_size=64)
    frame = TABLE.to_pandas()
    for position, (objective, window) in enumerate(MANIFEST.heads()):
        rows = frame if window is None else frame[frame.window_index == MANIFEST.windows.index(window)]
        label = rows[f"label_{objective}"]
        assert loader.survey.labels[position] == rows["weight"][label.notna()].sum()
        assert loader.survey.positives[position] == (rows["weight"] * label).sum()
    assert all(0 < rate < 1 for rate in loader.survey.base_rates())


def test_stopping_early_ends_the_background_thread(files: list[str]) -> None:
    before = threading.active_count()
    for _ in range(3):
        batches = Loader(files, MANIFEST, batch_size=8).epoch()
        next(batches)
        batches.close()
    assert threading.active_count() == before


def test_a_file_uri_is_a_path(files: list[str]) -> None:
    assert Loader([f"file://{file}" for file in files], MANIFEST, batch_size=64).rows == ROWS


def test_what_a_wide_table_takes_grows_with_its_columns_not_with_their_square(tmp_path: Path) -> None:
    """By the calls that Python makes until an epoch is read: a regular expression held against a column is one too."""

    def calls(numbers: int) -> int:
        manifest = wide_manifest(ids=2, numbers=numbers, events=2, table_size=100)
        files = write_files(make_table(manifest, 10), tmp_path / str(numbers), files=1)
        made = itertools.count()
        sys.setprofile(lambda *_: next(made))
        threading.setprofile(lambda *_: next(made))
        try:
            batches = list(Loader(files, manifest, batch_size=10).epoch())
        finally:
            sys.setprofile(None)
            threading.setprofile(None)
        assert batches[0].batch.dense_BF.shape == (10, numbers)
        return next(made)

    calls(10)  # what is done once
    assert calls(400) < 2.5 * calls(200)


def test_no_files() -> None:
    with pytest.raises(LatticeError, match="list of files is empty"):
        Loader([], MANIFEST, batch_size=64)


def test_no_selected_rows(files: list[str]) -> None:
    with pytest.raises(LatticeError, match="None of the 500 rows is selected"):
        Loader(files, MANIFEST, batch_size=64, selection=Selection(available_before=datetime(2023, 1, 1, tzinfo=UTC)))


def test_a_missing_file(files: list[str]) -> None:
    with pytest.raises(LatticeError, match=r"gone\.parquet"):
        Loader([*files, "/nowhere/gone.parquet"], MANIFEST, batch_size=64)


@pytest.mark.parametrize("column", ["number_3", "id_1", "label_buy", "events_0_item", "domain_index"])
def test_a_missing_column(tmp_path: Path, column: str) -> None:
    files = write_files(TABLE.slice(0, 9).drop([column]), tmp_path)
    with pytest.raises(LatticeError, match=f"(?s)part-0.*'{column}' is missing"):
        Loader(files, MANIFEST, batch_size=4)


def test_a_missing_key(files: list[str]) -> None:
    with pytest.raises(LatticeError, match="'shop' is missing"):
        Loader(files, MANIFEST, batch_size=4, keys=["shop"])


def test_a_column_of_another_type(tmp_path: Path) -> None:
    position = TABLE.column_names.index("number_3")
    wrong = TABLE.slice(0, 9).set_column(position, "number_3", TABLE["number_3"].slice(0, 9).cast(pa.float64()))
    with pytest.raises(LatticeError, match="'number_3' holds double; float is needed"):
        Loader(write_files(wrong, tmp_path), MANIFEST, batch_size=4)


def test_a_truncated_file(tmp_path: Path) -> None:
    files = write_files(TABLE, tmp_path)
    content = Path(files[1]).read_bytes()
    Path(files[1]).write_bytes(content[: len(content) // 2])
    with pytest.raises(LatticeError, match=r"(?s)part-1\.parquet.*cannot be read") as caught:
        Loader(files, MANIFEST, batch_size=64)
    assert "Build the table again" in caught.value.remedy


def test_a_file_that_is_damaged_inside(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """Its footer is sound, so that the damage shows only while the rows are read."""
    files = write_files(TABLE, tmp_path)
    loader = Loader(files, MANIFEST, batch_size=64)
    content = bytearray(Path(files[2]).read_bytes())
    content[1000 : len(content) // 2] = bytes(len(content) // 2 - 1000)
    Path(files[2]).write_bytes(content)
    with pytest.raises(LatticeError, match=r"part-2\.parquet"):
        list(loader.epoch())
    assert "Traceback" not in capfd.readouterr().err


def test_a_null_id(tmp_path: Path) -> None:
    nulls = pa.array([None, *range(8)], pa.int64())
    table = TABLE.slice(0, 9).set_column(TABLE.column_names.index("id_1"), "id_1", nulls)
    with pytest.raises(LatticeError, match=r"(?s)'id_1'.*holds a null"):
        list(Loader(write_files(table, tmp_path), MANIFEST, batch_size=4).epoch())


def test_a_packed_sequence_of_another_length(tmp_path: Path) -> None:
    other = make_table(make_manifest(length=5), 9)
    with pytest.raises(LatticeError, match=r"(?s)'events_0_item'.*does not hold 8 values \(64 bytes\)"):
        list(Loader(write_files(other, tmp_path), MANIFEST, batch_size=4).epoch())
