"""What the models of a space have of forgotten users: which were trained on their rows, and rows of predictions."""

from collections.abc import Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from jobs.target import Target
from pipelines.tables import file_names, is_local
from pipelines.warehouse import list_files, local_path
from schemas.forgetting import TrainedModel

if TYPE_CHECKING:
    from lattice_model.training.log import TrainingLog


class Held(Protocol):
    """Which files of a training table hold rows of the users."""

    @property
    def available(self) -> Mapping[str, datetime]:
        """File name -> when the first of those rows became available."""


def trained_on(
    target: Target, held: Mapping[str, Held], folders: Sequence[str]
) -> tuple[tuple[TrainedModel, ...], tuple[TrainedModel, ...]]:
    """The models that were trained on rows of the users, and those of which it cannot be told any more.

    A model that went on from one that was is one, too.

    Args:
        held: by training table (URI).
        folders: where models lie outside the warehouse.
    """
    found: dict[TrainedModel, bool | None] = {}
    for path, log in _models(target, folders):
        uri = f"{target.space_folder}/{log.group}/training"
        part = held.get(uri)
        own = _held(uri, log, log.cut or target.space.cut(log.split), part.available if part else {})
        before = found.get(TrainedModel(group=log.group, model=log.continued)) if log.continued else False
        answer = True if own or before else (None if own is None or before is None else False)
        found[TrainedModel(group=log.group, model=path.name)] = answer
    yes, untold = ([model for model, answer in found.items() if answer is wanted] for wanted in (True, None))
    return tuple(yes), tuple(untold)


def clean_predictions(target: Target, users: AbstractSet[str], folders: Sequence[str]) -> None:
    """Take the rows of users out of what models predicted for them."""
    for folder in _folders(target, folders):
        for path in sorted(folder.glob("*/predictions.parquet")):
            rows = pq.read_table(path)
            kept = rows.filter(pc.invert(pc.is_in(rows["user_id"], value_set=pa.array(sorted(users), pa.string()))))
            if kept.num_rows < rows.num_rows:
                unfinished = path.with_suffix(".part")
                pq.write_table(kept, unfinished)
                unfinished.replace(path)


def _held(uri: str, log: "TrainingLog", cut: datetime, available: Mapping[str, datetime]) -> bool | None:
    """Whether a model's training rows are among those that files hold; None if the files are not all there."""
    names = file_names(uri, log.tables["training"].version)
    there = {path.rsplit("/", 1)[-1] for path in list_files(uri)}
    if names is None or not names <= there:
        return None
    return any(available[name] < cut for name in names & available.keys())


def _models(target: Target, folders: Sequence[str]) -> Iterator[tuple[Path, "TrainingLog"]]:
    """The finished models of the space, the oldest first: no model goes on from a later one."""
    paths = [path for folder in _folders(target, folders) for path in folder.glob("*/training.json")]
    if paths:
        from lattice_model.training.log import TrainingLog  # torch takes seconds to import

        for path in sorted(paths, key=lambda path: path.stat().st_mtime):
            log = TrainingLog.read(path)
            if log.space == target.space.name:
                yield path.parent, log


def _folders(target: Target, folders: Sequence[str]) -> list[Path]:
    inside = []
    if is_local(target.warehouse):
        inside = [path for path in local_path(target.space_folder).glob("*/models") if path.is_dir()]
    return [*sorted(inside), *map(Path, folders)]
