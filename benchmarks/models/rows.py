"""The rows that every model sees: a fixed number of a training table's rows by hash, and all evaluation rows.

They lie apart by domain, so that a model of one domain reads its own rows alone.
"""

import fcntl
import shutil
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray
from pandas.util import hash_array

from benchmarks.results import Result
from jobs.models import pinned_files
from lattice_model.loading.survey import local_path
from schemas.manifest import TrainingManifest

_ROW_GROUP = 16_384
Table = Literal["training", "evaluation"]


class Part(Result):
    """The portfolios that one model serves: all (no domain), those of a domain, or one of them."""

    domain: str | None = None
    objective: str | None = None

    def __str__(self) -> str:
        return "/".join(filter(None, (self.domain, self.objective))) or "all"

    def of(self, manifest: TrainingManifest) -> TrainingManifest:
        """The manifest with the features and objectives of this part alone.

        Normalisers stay those that were fitted on every domain with the feature. Domains keep their positions.
        """
        if self.domain is None:
            return manifest
        inside = {"domains": (self.domain,)}
        kept = {
            name: tuple(
                part.model_copy(update=inside) for part in getattr(manifest, name) if self.domain in part.domains
            )
            for name in ("categorical", "dense", "sequences", "objectives")
        }
        kept["objectives"] = tuple(part for part in kept["objectives"] if self.objective in (None, part.name))
        return manifest.model_copy(update=kept)


def having(manifest: TrainingManifest, features: Collection[str] | None) -> TrainingManifest:
    """The manifest with these features alone; None: with all of them."""
    if features is None:
        return manifest
    names = frozenset(features)
    return manifest.model_copy(
        update={
            kind: tuple(part for part in getattr(manifest, kind) if part.name in names)
            for kind in ("categorical", "dense", "sequences")
        }
    )


def parts_by_domain(manifest: TrainingManifest) -> tuple[Part, ...]:
    return tuple(Part(domain=domain) for domain in manifest.domains)


def parts_by_portfolio(manifest: TrainingManifest) -> tuple[Part, ...]:
    return tuple(Part(domain=domain, objective=part.name) for part in manifest.objectives for domain in part.domains)


@dataclass(frozen=True, kw_only=True)
class Source:
    """A manifest's rows, copied into ``folder`` when they are first asked for."""

    manifest: TrainingManifest
    folder: Path

    def files(self, table: Table, part: Part, rows: int | None = None) -> list[str]:
        """Files with the rows of the part's domains; of ``training`` so many rows over all domains (None: all)."""
        name = table if rows is None else f"{table}-{rows}"
        folder = self.folder / f"rows-{self.manifest.fingerprint[:12]}" / name
        folder.parent.mkdir(parents=True, exist_ok=True)
        with folder.with_suffix(".lock").open("w", encoding="utf-8") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not folder.is_dir():
                unfinished = folder.with_suffix(".part")
                shutil.rmtree(unfinished, ignore_errors=True)
                unfinished.mkdir()
                _write(pinned_files(self.manifest.tables[table]), self.manifest, unfinished, rows)
                unfinished.rename(folder)
        domains = self.manifest.domains if part.domain is None else (part.domain,)
        # The number keeps the files, which a loader sorts, in the order of the domains.
        # A loader takes a path from the root, or a URI.
        return [str(folder.resolve() / _name(self.manifest, domain)) for domain in domains]


def _write(files: list[str], manifest: TrainingManifest, folder: Path, rows: int | None) -> None:
    """One file a domain: the rows with the ``rows`` smallest hashes of the impression's id."""
    limit = None
    if rows is not None:
        hashes = np.concatenate([_hashes(pq.read_table(local_path(file), columns=["impression_id"])) for file in files])
        limit = np.sort(hashes)[min(rows, len(hashes)) - 1]
    for domain in manifest.domains:
        index = manifest.domains.index(domain)
        kept = []
        for file in files:
            table = pq.read_table(local_path(file), filters=pc.field("domain_index") == index)
            kept.append(table if limit is None else table.filter(pa.array(_hashes(table) <= limit)))
        pq.write_table(pa.concat_tables(kept), folder / _name(manifest, domain), row_group_size=_ROW_GROUP)


def _name(manifest: TrainingManifest, domain: str) -> str:
    return f"{manifest.domains.index(domain):02}-{domain}.parquet"


def _hashes(table: pa.Table) -> NDArray[np.uint64]:
    """Mixed once more: the ids are hashes, by which a sample may have been drawn already."""
    return hash_array(table["impression_id"].to_numpy())
