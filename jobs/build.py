"""``lattice build``: every stage from raw tables to the training table, in one Spark application."""

from jobs import hold_out, ingest, options, prepare, unify
from jobs import zip as zip_job
from jobs.stages import Stage, run_stages
from jobs.target import Target

STAGES: tuple[Stage, ...] = (ingest.STAGE, unify.STAGE, zip_job.STAGE, hold_out.STAGE, prepare.STAGE)


def build(
    space: options.Space = options.DEFAULT_SPACE,
    warehouse: options.Warehouse = options.DEFAULT_WAREHOUSE,
    group: options.Group = options.DEFAULT_GROUP,
    sample: options.Sample = None,
) -> None:
    """Build every table of a group, from raw data to the training table; finished stages are skipped.

    Examples:

      lattice build --sample demo

      lattice build --space my_space.yaml --warehouse /data/warehouse

      spark-submit jobs/build.py --space my_space.yaml --warehouse s3a://bucket/warehouse
    """
    run_stages(Target.parse(space, warehouse, group, sample), STAGES)


if __name__ == "__main__":
    options.script(build)
