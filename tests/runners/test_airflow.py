"""The DAG in a real Airflow, which `make airflow` installs in an environment of its own."""

import json
import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from tests.builds import latest_version

ROOT = Path(__file__).parents[2]
AIRFLOW = Path(sys.prefix) / "airflow" / "bin" / "airflow"


def test_a_night(make_corpus: Callable[[str, int], Path], tmp_path: Path):
    home, output = tmp_path / "home", tmp_path / "output"
    (home / "dags").mkdir(parents=True)
    shutil.copy(ROOT / "runners" / "schedules" / "airflow_dag.py", home / "dags")
    environment = {
        **os.environ,
        "AIRFLOW_HOME": str(home),
        "AIRFLOW__CORE__DAGS_FOLDER": str(home / "dags"),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "OPEN_IMAGES_PYTHON": sys.executable,
        "OPEN_IMAGES_INPUT": str(make_corpus("v7", 30)),
        "OPEN_IMAGES_OUTPUT": str(output),
    }

    def run(*arguments: str) -> str:
        done = subprocess.run(
            [AIRFLOW, *arguments],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        assert done.returncode == 0, done.stdout
        return done.stdout

    run("db", "migrate")
    said = run("dags", "test", "open_images_nightly", "2026-01-02")
    assert "state=success" in said

    version = latest_version(output)
    version.assert_whole()
    assert f"{version.folder.name}: whole; 30 examples" in said
    assert "1 version left" in said
    database = sqlite3.connect(home / "airflow.db")
    query = "SELECT task_id, state FROM task_instance"
    assert dict(database.execute(query)) == dict.fromkeys(("build", "verify", "gc"), "success")
    ((pushed,),) = database.execute("SELECT value FROM xcom WHERE task_id = 'build'")
    database.close()
    report = json.loads(json.loads(pushed))
    assert (report["outcome"], report["version"]) == ("published", version.folder.name)
