"""``lattice prepare``: the training table, laid out for Petastorm, and its manifest."""

from collections.abc import Iterator

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from jobs import options
from jobs.context import Context
from jobs.parts import parts
from jobs.stages import Stage, stage_command
from pipelines.attribution import longest_window
from pipelines.concatenation import KEYS
from pipelines.layout import PARQUET_OPTIONS, file_count, inputs, labels, packed
from pipelines.negatives import downsampled
from pipelines.normalisers import fit_normalisers
from pipelines.spans import Span
from pipelines.tables import Published, published, read_files, require
from pipelines.warehouse import read_text, write_text
from schemas.duration import format_duration
from schemas.expectations import packed_suite
from schemas.manifest import Normaliser, PinnedTable, Split, TrainingManifest

_SPLITS: tuple[Split, ...] = ("validation", "test")


def _work(context: Context) -> None:
    target, space = context.target, context.target.space
    rows = context.read_features(target.group_table("zipped")).where(F.col("available_time") < F.lit(space.cut("test")))

    def laid_out(span: Span) -> Iterator[DataFrame]:
        if span.start is not None and span.start >= space.cut("test"):
            return
        available = rows.where(span.holds("available_time"))
        for part in parts(available, span, longest_window(space, target.group)):
            mixed = downsampled(available.where(part.holds("impression_time")), space, target.group)
            yield packed(mixed, target.trained, target.group, file_count(mixed.count()))

    uri, suite = target.group_table("training"), packed_suite(space, target.group)
    context.publish(
        laid_out,
        uri,
        suite,
        KEYS,
        PARQUET_OPTIONS,
        beside=lambda made: _write_manifest(context, made),
        one_form=True,
    )


def _write_manifest(context: Context, training: Published) -> None:
    text = _manifest(context, training).model_dump_json(indent=1)
    write_text(context.target.manifest_uri(training.version), text)


def _manifest(context: Context, training: Published) -> TrainingManifest:
    target, space = context.target, context.target.space
    categorical, dense, sequences = inputs(target.trained, target.group)
    rows, known = read_files(context.spark, training), _final_normalisers(context)
    normalisers: dict[Split, dict[str, Normaliser]] = {
        split: known[split]
        if split in known
        else fit_normalisers(
            rows.where(F.col("available_time") < F.lit(space.cut(split))),
            training.rows,
            dense,
            space.group_domains(target.group),
        )
        for split in _SPLITS
    }
    names = ("unified", "outcomes", "zipped", "evaluation")
    pinned = [require(target.space_table(name), "lattice ingest") for name in ("impressions", "feedback")]
    pinned += [require(target.group_table(name), "lattice build") for name in names] + [training]
    return TrainingManifest(
        space=space.name,
        group=target.group,
        sample=target.sample_name,
        domains=space.group_domains(target.group),
        windows=tuple(format_duration(window) for window in space.groups[target.group].windows),
        objectives=labels(space, target.group),
        categorical=categorical,
        dense=dense,
        sequences=sequences,
        normalisers=normalisers,
        negatives=space.groups[target.group].negatives,
        selection=target.selection.version if target.selection else None,
        cuts={split: space.cut(split) for split in _SPLITS},
        tables={t.uri.rsplit("/", 1)[-1]: PinnedTable(uri=t.uri, version=t.version, rows=t.rows) for t in pinned},
        fingerprint=context.fingerprint,
    )


def _final_normalisers(context: Context) -> dict[Split, dict[str, Normaliser]]:
    """Of the manifest so far, those that no night changes: the rows that they were fitted on were complete."""
    grows = context.grow and not context.anew
    before = published(context.target.group_table("training")) if grows else None
    if before is None or before.through is None or before.plan != context.target.group_plan:
        return {}
    manifest = TrainingManifest.model_validate_json(read_text(context.target.manifest_uri(before.version)))
    return {split: manifest.normalisers[split] for split in _SPLITS if manifest.cuts[split] <= before.through}


STAGE = Stage(
    name="prepare",
    title="the training table and its manifest",
    tables=lambda target: [target.group_table("training")],
    work=_work,
)
prepare = stage_command(STAGE)

if __name__ == "__main__":
    options.script(prepare)
