"""What the README shows is run."""

from __future__ import annotations

import re
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import pytest

from tools.airflow_home import PROJECT

pytestmark = pytest.mark.processes

BLOCKS = re.findall(r"```python\n(.*?)```", (PROJECT / "README.md").read_text(), re.DOTALL)


def block_with(text: str) -> str:
    (found,) = [block for block in BLOCKS if text in block]
    return found


def test_first_dag(tmp_path: Path) -> None:
    """Rule: a newcomer who saves the first DAG and pastes the commands below it sees the first lines of a file."""
    readme = (PROJECT / "README.md").read_text()
    prepare, commands = re.findall(r"```bash\n(.*?)```", readme, re.DOTALL)
    install, _, rest = commands.partition("\n")
    assert install == "pip install 'airflow-provider-custobar[sandbox]'"
    path = f"{Path(sys.executable).parent}:/usr/bin:/bin"
    environment = {"HOME": str(tmp_path), "PATH": path, "PYTHONPATH": str(PROJECT)}
    # What the virtual environment would get is here already.
    assert prepare.splitlines()[1:] == ["python3 -m venv venv", ". venv/bin/activate"]
    subprocess.run(["bash", "-c", prepare.splitlines()[0]], env=environment, check=True)
    (tmp_path / "airflow" / "dags" / "first_dag.py").write_text(
        block_with("custobar_sales").replace("/tmp/custobar", str(tmp_path))
    )
    here = rest.replace("--port 8765", "--port 0").replace("/tmp/custobar", str(tmp_path))
    # -m is for the %1 that an interactive shell has; the trap, so that a failing line leaves no sandbox behind.
    script = f"trap 'kill %1 || true' EXIT\n{here}"
    done = subprocess.run(["bash", "-emc", script], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    *_, header, first, second = done.stdout.strip().splitlines()
    assert "sale_date" in header
    assert "2026-02-10" in first
    assert "2026-02-10" in second
    (told,) = re.findall(r"look for `(.*?)`", readme)
    assert told.replace("/tmp/custobar", str(tmp_path)) in done.stdout.replace("\n", " ")


def test_arguments_of_exports() -> None:
    """Rule: every argument that the README shows is one."""
    from airflow_provider_custobar.transfers.custobar_to_gcs import CustobarToGCSOperator

    exec(block_with('CustobarToGCSOperator(\n    task_id="clicks"'), {"CustobarToGCSOperator": CustobarToGCSOperator})


def test_arguments_of_uploads() -> None:
    """Rule: every argument that the README shows is one."""
    from airflow_provider_custobar.transfers.s3_to_custobar import S3ToCustobarOperator

    exec(block_with("S3ToCustobarOperator"), {"S3ToCustobarOperator": S3ToCustobarOperator})


def test_arguments_of_tables() -> None:
    """Rule: every argument that the README shows is one."""
    from airflow_provider_custobar.transfers.custobar_to_sql import CustobarToSqlOperator

    exec(block_with("CustobarToSqlOperator"), {"CustobarToSqlOperator": CustobarToSqlOperator})


def test_a_tenants_group_and_an_approval() -> None:
    """Rule: the DAG of two tenants is one, and so are the three tasks of an approval."""
    import pendulum
    from airflow.providers.standard.operators.hitl import ApprovalOperator
    from airflow.sdk import DAG

    from airflow_provider_custobar.operators.export_group import custobar_export_group
    from airflow_provider_custobar.transfers.sql_to_custobar import SqlToCustobarOperator

    names = {"DAG": DAG, "pendulum": pendulum, "custobar_export_group": custobar_export_group}
    exec(block_with("custobar_export_group"), names)
    upload = {"conn_id": "postgres_default", "sql": "SELECT 1 AS external_id"}
    with DAG("approval", schedule=None):
        names = {"SqlToCustobarOperator": SqlToCustobarOperator, "ApprovalOperator": ApprovalOperator, "upload": upload}
        exec(block_with("ApprovalOperator"), names)


def test_arguments_of_waits() -> None:
    """Rule: every argument that the README shows is one, and the DAG that starts by itself is one."""
    from airflow.sdk import DAG, Asset, AssetWatcher

    from airflow_provider_custobar.sensors.custobar import CustobarEventSensor
    from airflow_provider_custobar.triggers.custobar import CustobarNewEventsTrigger

    exec(block_with("CustobarEventSensor"), {"CustobarEventSensor": CustobarEventSensor, "timedelta": timedelta})
    names = {"DAG": DAG, "Asset": Asset, "AssetWatcher": AssetWatcher, "CustobarNewEventsTrigger": CustobarNewEventsTrigger}
    exec(block_with("AssetWatcher"), names)


def test_partitions_of_assets() -> None:
    """Rule: the DAGs that the README shows are some, where Airflow has partitions."""
    from airflow import sdk

    from airflow_provider_custobar.transfers.custobar_to_s3 import CustobarToS3Operator

    if not hasattr(sdk, "PartitionedAssetTimetable"):
        pytest.skip("Airflow has partitions from 3.2 on")
    names = {name: getattr(sdk, name) for name in ("DAG", "Asset", "CronPartitionTimetable", "PartitionedAssetTimetable")}
    exec(block_with("PartitionedAssetTimetable"), {**names, "CustobarToS3Operator": CustobarToS3Operator})


def test_testing_ones_own_dags(tmp_path: Path) -> None:
    """Rule: the test that the README shows passes in an empty folder."""
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    (tmp_path / "test_mine.py").write_text(block_with("custobar_sandbox"))
    done = subprocess.run([sys.executable, "-m", "pytest", "-q"], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_sandbox_command() -> None:
    """Rule: the sandbox's command line is the one shown, and prints where it is."""
    shown = re.search(r"python -m (airflow_provider_custobar\.sandbox) --port 8765 (--.*)", (PROJECT / "README.md").read_text())
    assert shown is not None
    command = [sys.executable, "-m", shown[1], "--port", "0", *shown[2].split()]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        lines = [process.stdout.readline() for _ in range(3)]
        process.terminate()
    assert process.returncode == 0
    assert any("http://127.0.0.1:" in line for line in lines)
    assert any("AIRFLOW_CONN_CUSTOBAR_DEFAULT=" in line for line in lines)
