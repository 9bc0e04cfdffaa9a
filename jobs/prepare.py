"""``lattice prepare``: the training table, laid out for Petastorm, and its manifest."""

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from jobs import options
from jobs.stages import Context, Stage, stage_command
from pipelines.concatenation import KEYS
from pipelines.layout import PARQUET_OPTIONS, file_count, inputs, labels, packed
from pipelines.normalisers import fit_normalisers
from pipelines.tables import Published, require
from pipelines.warehouse import write_text
from schemas.duration import format_duration
from schemas.expectations import packed_suite
from schemas.manifest import Normaliser, PinnedTable, Split, TrainingManifest

_SPLITS: tuple[Split, ...] = ("validation", "test")


def _work(context: Context) -> None:
    target, space = context.target, context.target.space
    parent = require(target.group_table("zipped"), "lattice zip")
    available = context.read(parent.uri).where(F.col("available_time") < F.lit(space.cut("test")))
    laid_out = packed(available, space, target.group, file_count(parent.rows))

    def with_manifest(rows: DataFrame, training: Published) -> None:
        text = _manifest(context, rows, training).model_dump_json(indent=1)
        write_text(target.manifest_uri(training.version), text)

    uri, suite = target.group_table("training"), packed_suite(space, target.group)
    context.publish(laid_out, uri, suite, KEYS, PARQUET_OPTIONS, also=with_manifest)


def _manifest(context: Context, rows: DataFrame, training: Published) -> TrainingManifest:
    target, space = context.target, context.target.space
    categorical, dense, sequences = inputs(space, target.group)
    normalisers: dict[Split, dict[str, Normaliser]] = {
        split: fit_normalisers(
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
        cuts={split: space.cut(split) for split in _SPLITS},
        tables={t.uri.rsplit("/", 1)[-1]: PinnedTable(uri=t.uri, version=t.version, rows=t.rows) for t in pinned},
        fingerprint=context.fingerprint,
    )


STAGE = Stage(
    name="prepare",
    title="the training table and its manifest",
    tables=lambda target: [target.group_table("training")],
    work=_work,
)
prepare = stage_command(STAGE)

if __name__ == "__main__":
    options.script(prepare)
