"""An exported model gives what the network gives, is read without unpickling, and says when it is not whole."""

import hashlib
import io
import json
import pickle
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import torch
from torch import Tensor

from lattice_model.export import archive
from lattice_model.export.archive import Export, program_of
from lattice_model.export.float8 import Scaling, to_float8
from lattice_model.export.scoring import CHUNK, inputs_of, score
from lattice_model.export.serving import Inputs
from lattice_model.loading.columns import to_array
from lattice_model.loading.rows import decode, to_loaded
from lattice_model.models import MODELS
from lattice_model.network.model import Model
from schemas.errors import LatticeError
from schemas.manifest import TrainingManifest
from schemas.serving import ServingLayout
from tests.lattice_model.factories import make_manifest
from tests.lattice_model.tables import make_table
from tests.lattice_model.test_models import made

MANIFEST = make_manifest()
SIZES = (1, 64, 4096)


def table(manifest: TrainingManifest, rows: int) -> pa.Table:
    """Random rows with absent ids, unknown numbers and empty sequences, as Spark hands them to a worker."""
    found = make_table(manifest, rows)
    domains = [manifest.domains[index] for index in found["domain_index"].to_pylist()]
    items = [f"item {number}" for number in range(rows)]
    return found.append_column("domain", pa.array(domains)).append_column("item_id", pa.array(items))


def rows_of(rows: pa.Table) -> pa.RecordBatch:
    return rows.combine_chunks().to_batches()[0]


def probabilities(network: Model, rows: pa.Table, manifest: TrainingManifest) -> Tensor:
    """By the network itself, from the same columns by the loader's code: (B, O)."""
    columns = {name: to_array(rows[name]) for name in rows.column_names}
    with torch.inference_mode():
        logits = network(to_loaded(decode(columns, manifest, ()), manifest).batch)
    return torch.sigmoid(logits[:, list(manifest.oracle_heads())].double()).float()


def exported(folder: Path, network: Model, manifest: TrainingManifest) -> Export:
    archive.write(folder, network, manifest, model="abc", split="test")
    return archive.read(folder)


@pytest.mark.parametrize("name", MODELS)
def test_it_gives_the_same_probabilities_for_any_batch(name: str, tmp_path: Path) -> None:
    """Bit for bit: the same operators on the same numbers, with one thread as with more."""
    network = made(name, MANIFEST)
    program = program_of(exported(tmp_path / "it", network, MANIFEST))
    for size in SIZES:
        rows = table(MANIFEST, size)
        found = program(inputs_of(rows_of(rows), MANIFEST_LAYOUT))
        assert found.dtype == torch.float32
        torch.testing.assert_close(found, probabilities(network, rows, MANIFEST), rtol=0, atol=0)


MANIFEST_LAYOUT = ServingLayout.of(MANIFEST, model="abc", network="lattice", split="test", torch=torch.__version__)


def test_rows_without_any_known_value() -> None:
    rows = table(MANIFEST, 4096)
    assert not all(rows["id_0"].to_pylist()) and rows["number_0"].null_count
    assert 0 in rows["events_0_length"].to_pylist()


@pytest.mark.parametrize(
    "manifest",
    [make_manifest(categorical=0), make_manifest(dense=0), make_manifest(categorical=0, dense=0, sequences=0)],
    ids=["no ids", "no numbers", "domain only"],
)
def test_spaces_that_lack_a_kind_of_input(manifest: TrainingManifest, tmp_path: Path) -> None:
    network = made("lattice", manifest)
    export = exported(tmp_path / "it", network, manifest)
    rows = table(manifest, 20)
    found = program_of(export)(inputs_of(rows_of(rows), export.layout))
    torch.testing.assert_close(found, probabilities(network, rows, manifest), rtol=0, atol=0)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made_in = tmp_path_factory.mktemp("export") / "it"
    archive.write(made_in, made("lattice", MANIFEST), MANIFEST, model="abc", split="test")
    return made_in


def test_the_layout_says_what_goes_in_and_comes_out(folder: Path) -> None:
    layout = ServingLayout.read(folder / archive.LAYOUT)
    assert (layout.model, layout.network, layout.manifest) == ("abc", "lattice", MANIFEST.fingerprint)
    assert [(o.name, o.window, o.domains) for o in layout.objectives] == [
        ("click", None, ("web", "app", "mail")), ("buy", "28d", ("web", "app", "mail")), ("redeem", "28d", ("mail",)),
    ]  # fmt: skip
    assert layout.program_sha256 == hashlib.sha256((folder / archive.PROGRAM).read_bytes()).hexdigest()


def test_it_runs_where_the_project_is_not(folder: Path, tmp_path: Path) -> None:
    """In another process, that cannot import it; from nothing but the two files."""
    code = """
import json, sys, torch
layout = json.load(open(sys.argv[1] + "/layout.json"))
program = torch.export.load(sys.argv[1] + "/program.pt2").module()
inputs = {
    "domain": torch.tensor([0, 2]),
    "categorical": torch.zeros(2, len(layout["categorical"]), dtype=torch.int64),
    "dense": torch.full((2, len(layout["dense"])), torch.nan),
}
for s in layout["sequences"]:
    inputs[s["name"] + "/ids"] = torch.zeros(2, s["length"], len(s["ids"]), dtype=torch.int64)
    inputs[s["name"] + "/dense"] = torch.zeros(2, s["length"], len(s["dense"]))
    inputs[s["name"] + "/length"] = torch.zeros(2, dtype=torch.int64)
assert not {"lattice_model", "torchrec", "fbgemm_gpu"} & set(sys.modules)
print(json.dumps(program(inputs).tolist()))
"""
    ran = subprocess.run(
        [sys.executable, "-I", "-c", code, str(folder)], capture_output=True, text=True, cwd=tmp_path, check=False
    )
    assert ran.returncode == 0, ran.stderr
    found = np.array(json.loads(ran.stdout))
    assert found.shape == (2, 3)
    assert ((found > 0) & (found < 1)).all()


def test_it_names_no_file_of_the_machine_that_made_it(folder: Path) -> None:
    with zipfile.ZipFile(folder / archive.PROGRAM) as program:
        every = b"".join(program.read(name) for name in program.namelist())
    assert b".py" not in every


def test_scores_do_not_depend_on_the_partitions(folder: Path) -> None:
    """Bit for bit, in any order of rows and in batches of any size."""
    rows = table(MANIFEST, CHUNK + 300)
    export = archive.read(folder)
    whole = pa.Table.from_batches(list(score(export, iter(rows.combine_chunks().to_batches()))))
    mixed = rows.take(np.random.default_rng(0).permutation(rows.num_rows)).combine_chunks()
    parts = pa.Table.from_batches(list(score(export, iter(mixed.to_batches(max_chunksize=77)))))
    order = [("impression_id", "ascending"), ("objective", "ascending")]
    assert whole.num_rows == sum(
        rows.num_rows if len(o.domains) == 3 else rows["domain"].to_pylist().count("mail")
        for o in export.layout.objectives
    )
    assert whole.sort_by(order).equals(parts.sort_by(order))


def test_no_rows_give_no_scores(folder: Path) -> None:
    empty = table(MANIFEST, 3).slice(0, 0).to_batches() or [rows_of(table(MANIFEST, 3)).slice(0, 0)]
    assert list(score(archive.read(folder), iter(empty))) == []


def copy(folder: Path, place: Path, program: bytes) -> Path:
    """With another program, and a layout that names it."""
    place.mkdir()
    layout = ServingLayout.read(folder / archive.LAYOUT)
    named = layout.model_copy(update={"program_sha256": hashlib.sha256(program).hexdigest()})
    (place / archive.PROGRAM).write_bytes(program)
    (place / archive.LAYOUT).write_text(named.model_dump_json())
    return place


class Evil:
    def __reduce__(self) -> tuple[type[Exception], tuple[str]]:
        return RuntimeError, ("unpickled",)


@pytest.mark.parametrize("record", ["sample_inputs/model.pt", "weights/model.pt", "constants/opaque_obj_0"])
def test_pickles_are_refused(folder: Path, tmp_path: Path, record: str) -> None:
    """What torch would unpickle, in each place where it would."""
    changed = io.BytesIO()
    with zipfile.ZipFile(folder / archive.PROGRAM) as old, zipfile.ZipFile(changed, "w") as new:
        root = old.namelist()[0].split("/")[0]
        added = f"{root}/data/{record}"
        for name in old.namelist():
            if name != added:
                new.writestr(name, old.read(name))
        new.writestr(added, pickle.dumps(Evil()))
    with pytest.raises(LatticeError, match="pickles"):
        archive.read(copy(folder, tmp_path / "it", changed.getvalue()))


def test_a_pickled_weight_is_refused(folder: Path, tmp_path: Path) -> None:
    changed = io.BytesIO()
    with zipfile.ZipFile(folder / archive.PROGRAM) as old, zipfile.ZipFile(changed, "w") as new:
        for name in old.namelist():
            text = old.read(name)
            if name.endswith("weights_config.json"):
                text = text.replace(b'"use_pickle": false', b'"use_pickle": true', 1)
                assert text != old.read(name)
            new.writestr(name, text)
    with pytest.raises(LatticeError, match="pickles"):
        archive.read(copy(folder, tmp_path / "it", changed.getvalue()))


def test_messages(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(LatticeError, match="no exported model"):
        archive.read(tmp_path)
    damaged = copy(folder, tmp_path / "damaged", (folder / archive.PROGRAM).read_bytes())
    (damaged / archive.PROGRAM).write_bytes((folder / archive.PROGRAM).read_bytes()[:-1])
    with pytest.raises(LatticeError, match=r"not what layout\.json names"):
        archive.read(damaged)
    with pytest.raises(LatticeError, match=r"pickles.*no archive"):
        archive.read(copy(folder, tmp_path / "text", b"hello"))
    (damaged / archive.LAYOUT).write_text("{}")
    with pytest.raises(LatticeError, match="another release"):
        archive.read(damaged)
    occupied = tmp_path / "occupied"
    (occupied / "mine").mkdir(parents=True)
    with pytest.raises(LatticeError, match="cannot be written"):
        archive.write(occupied, made("lattice", MANIFEST), MANIFEST, model="abc", split="test")


def test_a_program_of_another_kind_is_explained(folder: Path) -> None:
    inputs: Inputs = {}
    layout = ServingLayout.read(folder / archive.LAYOUT)
    with pytest.raises(LatticeError, match="cannot read what torch"):
        program_of(Export(layout, b"PK"))(inputs)


def test_a_sequence_of_another_length_is_explained(folder: Path) -> None:
    rows = rows_of(table(make_manifest(length=5), 4))
    with pytest.raises(LatticeError, match=r"'events_0_item'.*\n.*8 values"):
        inputs_of(rows, ServingLayout.read(folder / archive.LAYOUT))


@pytest.mark.parametrize("scaling", ["rowwise", "tensorwise"])
def test_fp8_weights_are_stored_so_and_cost_little(tmp_path: Path, folder: Path, scaling: Scaling) -> None:
    """The numbers of a network with the same weights, rounded by hand; a quarter of the linear layers' bytes."""
    network = made("lattice", MANIFEST)
    layout = archive.write(tmp_path / "small", network, MANIFEST, model="abc", split="test", float8=scaling)
    export = archive.read(tmp_path / "small")
    assert layout.float8 == scaling == export.layout.float8
    linear = [part for part in network.modules() if isinstance(part, torch.nn.Linear)]
    saved = (folder / archive.PROGRAM).stat().st_size - len(export.program)
    assert saved > 0.6 * 3 * sum(part.weight.numel() for part in linear)
    for part in linear:
        weight, scale = to_float8(part.weight.detach(), scaling)
        rounded = weight.float() * scale
        assert ((rounded - part.weight).abs() <= part.weight.abs() / 16 + scale * 2**-9).all()
        part.weight.data = rounded
    rows = table(MANIFEST, 64)
    found = program_of(export)(inputs_of(rows_of(rows), export.layout))
    torch.testing.assert_close(found, probabilities(network, rows, MANIFEST), rtol=1e-5, atol=1e-6)
