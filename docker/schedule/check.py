"""Has Airflow load the DAG as its scheduler does, and says what it understood."""

import os
import sys
from pathlib import Path

os.environ.setdefault("AIRFLOW__CORE__LOAD_EXAMPLES", "false")
os.environ.setdefault("AIRFLOW__CORE__UNIT_TEST_MODE", "false")

from airflow.models.dagbag import DagBag

found = DagBag(str(Path(__file__).with_name("lattice_nightly.py")), include_examples=False)
if found.import_errors or set(found.dags) != {"lattice_nightly"}:
    sys.exit(f"Airflow does not take the DAG: {found.import_errors or found.dags}")
dag = found.dags["lattice_nightly"]
sys.stdout.write(
    f"{dag.dag_id}: {dag.timetable.summary}, {' >> '.join(task.task_id for task in dag.topological_sort())}\n"
)
