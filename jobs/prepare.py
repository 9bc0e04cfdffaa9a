"""``lattice prepare``: the training table, laid out for Petastorm, and its manifest."""

from collections.abc import Iterator

from pyspark.sql import DataFrame

from jobs import options
from jobs.context import Context
from jobs.normalising import Fitting
from jobs.parts import parts
from jobs.stages import Stage, stage_command
from pipelines.attribution import longest_window
from pipelines.concatenation import KEYS
from pipelines.layout import PARQUET_OPTIONS, file_count, inputs, labels, packed
from pipelines.negatives import downsampled
from pipelines.spans import Span
from pipelines.tables import Published, published, require
from pipelines.warehouse import read_text, write_text
from schemas.duration import format_duration
from schemas.expectations import packed_suite
from schemas.manifest import Normaliser, PinnedTable, Split, TrainingManifest

_SPLITS: tuple[Split, ...] = ("validation", "test")
Normalisers = dict[Split, dict[str, Normaliser]]


def _work(context: Context) -> None:
    target, space = context.target, context.target.space
    uri, suite = target.group_table("training"), packed_suite(space, target.group)
    context.reach(target.group_table("zipped"))

    def laid_out(span: Span) -> Iterator[DataFrame]:
        if span.start is not None and span.start >= space.cut("test"):
            return
        before = span.meet(Span(None, space.cut("test")))
        available = context.read_features(target.group_table("zipped"), "available_time", [before])
        for part in parts(lambda: available, span, longest_window(space, target.group)):
            mixed = downsampled(available.where(part.holds("impression_time")), space, target.group)
            yield packed(mixed, target.trained, target.group, file_count(mixed.count()))

    fitting = Fitting(context, uri, inputs(target.trained, target.group)[1], _final_normalisers(context), _SPLITS)
    context.publish(
        laid_out,
        uri,
        suite,
        KEYS,
        PARQUET_OPTIONS,
        also=fitting.look,
        beside=lambda made: _write_manifest(context, made, fitting.fitted(made)),
        one_form=True,
    )


def _write_manifest(context: Context, training: Published, normalisers: Normalisers) -> None:
    text = _manifest(context, training, normalisers).model_dump_json(indent=1)
    write_text(context.target.manifest_uri(training.version), text)


def _manifest(context: Context, training: Published, normalisers: Normalisers) -> TrainingManifest:
    target, space = context.target, context.target.space
    categorical, dense, sequences = inputs(target.trained, target.group)
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


def _final_normalisers(context: Context) -> Normalisers:
    """Of the manifest so far, those that no night changes: the rows that they were fitted on were complete."""
    before = published(context.target.group_table("training")) if context.grow else None
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
