"""A DAG for Airflow 3: rebuilds every night, checks what was published, removes old versions.

To be copied into the folder of DAGs. Its tasks are programs of the project's own environment, which
Airflow's needn't share: a task has succeeded when its program ended with exit code 0, and one that
is stopped gets a SIGTERM, upon which a build ends cleanly. The build's report is its XCom.

It reads from the environment of Airflow: `OPEN_IMAGES_PYTHON`, the interpreter that has the project
installed; `OPEN_IMAGES_INPUT`, a folder or prefix with `annotations` and `images`; and
`OPEN_IMAGES_OUTPUT`.
"""

import os
import shlex
from datetime import UTC, datetime, timedelta

from airflow.providers.standard.operators.bash import BashOperator
from airflow.sdk import DAG

_PYTHON = os.environ.get("OPEN_IMAGES_PYTHON", "/opt/open-images/.venv/bin/python")
_INPUT = os.environ.get("OPEN_IMAGES_INPUT", "/data/open-images")
_OUTPUT = os.environ.get("OPEN_IMAGES_OUTPUT", "/data/dataset")


def _program(task_id: str, module: str, *flags: str) -> BashOperator:
    # `exec`: signals reach the program itself.
    command = f"exec {shlex.join([_PYTHON, '-m', module, *flags])}"
    return BashOperator(task_id=task_id, bash_command=command, append_env=True)


with DAG(
    "open_images_nightly",
    schedule="0 2 * * *",
    start_date=datetime(2026, 1, 1, tzinfo=UTC),
    catchup=False,
    max_active_runs=1,
    default_args={
        "retries": 2,
        "retry_delay": timedelta(minutes=10),
        "execution_timeout": timedelta(hours=6),
    },
) as dag:
    build = _program(
        "build",
        "pipelines.build",
        *("--annotations", f"{_INPUT}/annotations", "--images", f"{_INPUT}/images"),
        *("--output", _OUTPUT, "--report", "json"),
    )
    verify = _program("verify", "pipelines.verify", _OUTPUT)
    collect = _program("gc", "pipelines.versions", _OUTPUT, "gc", "--keep", "7")
    build >> verify >> collect  # type: ignore[unused-expression]
