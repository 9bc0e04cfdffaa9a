"""An Airflow 3 DAG that adds every day to a warehouse, and alerts when a day is missing.

Put this file into Airflow's DAG folder. It calls the `lattice` command of the worker's PATH; the environment variables
LATTICE_SPACE and LATTICE_WAREHOUSE of the workers name the space file and the warehouse. `make schedule` has Airflow
itself check it.
"""

from datetime import UTC, datetime, timedelta

from airflow.providers.standard.operators.bash import BashOperator
from airflow.sdk import DAG
from airflow.timetables.interval import CronDataIntervalTimetable

_OPTIONS = '--space "$LATTICE_SPACE" --warehouse "$LATTICE_WAREHOUSE"'
# Each run is of one whole UTC day, and starts an hour after it has ended.
_DAY = {"DAY": "{{ data_interval_start | ds }}"}

with DAG(
    dag_id="lattice_nightly",
    description="Adds a day to Lattice's tables",
    schedule=CronDataIntervalTimetable("0 1 * * *", timezone="UTC"),
    start_date=datetime(2024, 1, 1, tzinfo=UTC),
    # A night catches up with the ones before it, so missed runs need no run of their own.
    catchup=False,
    # The warehouse has one writer at a time; a second one would stop with a message.
    max_active_runs=1,
    default_args={"retries": 3, "retry_delay": timedelta(minutes=10), "retry_exponential_backoff": True},
    tags=["lattice"],
) as dag:
    night = BashOperator(
        task_id="nightly", bash_command=f'lattice nightly {_OPTIONS} --date "$DAY"', env=_DAY, append_env=True
    )
    # Runs whatever became of the night, and fails when a table lacks the day: hang an alert on its failure.
    fresh = BashOperator(
        task_id="status",
        bash_command=f'lattice status {_OPTIONS} --expect "$DAY"',
        env=_DAY,
        append_env=True,
        retries=0,
        trigger_rule="all_done",
    )
    night >> fresh
