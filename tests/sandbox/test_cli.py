"""``python -m airflow_provider_custobar.sandbox``."""

from __future__ import annotations

import json
import shlex
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import requests

from airflow_provider_custobar.sandbox.cli import main

COMMAND = [sys.executable, "-m", "airflow_provider_custobar.sandbox"]


@pytest.mark.processes
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_serves_until_told_to_stop(tmp_path: Path, number: signal.Signals) -> None:
    """It prints URL, token and connection at once, serves with the given data, settings and faults, ends with 0."""
    path = tmp_path / "shops.jsonl"
    path.write_text('{"external_id": "P-1", "price": 5}\n')
    arguments = [
        *("--customers", "30", "--events", "50", "--days", "3", "--end-date", "2026-03-31"),
        *("--load", f"products={path}", "--set", "limit_default=7", "--set", "auth_schemes=bearer"),
        *("--fault", "status,status=418,path=/api/data/events/,where.type=BROWSE", "--fault", "drop,times=none,after=5"),
    ]
    with subprocess.Popen([*COMMAND, *arguments], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        url, token, variable = (process.stdout.readline().strip() for _ in range(3))
        name, _, value = shlex.split(variable)[0].partition("=")
        assert name == "AIRFLOW_CONN_CUSTOBAR_DEFAULT"
        connection = json.loads(value)
        assert url.endswith(connection["host"])
        assert token.endswith(connection["password"])
        headers = {"Authorization": f"Bearer {connection['password']}"}

        def get(path: str) -> requests.Response:
            return requests.get(f"{connection['host']}/api/data/{path}", headers=headers, timeout=10)

        page = get("customers/").json()
        assert (len(page["customers"]), page["count"]) == (7, 30)
        assert get("products/?external_id=P-1").json()["count"] == 1
        assert get("events/?type=BROWSE").status_code == 418
        process.send_signal(number)
        assert process.wait(10) == 0


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--port", "70000"], ["--port", "70000", "65535"]),
        (["--customers", "-3"], ["--customers", "expected"]),
        (["--days", "0"], ["--days", "'0'", "at least 1"]),
        (["--seed", "x"], ["--seed", "'x'", "whole number"]),
        (["--end-date", "31.3."], ["--end-date", "31.3.", "YYYY-MM-DD"]),
        (["--set", "limit=5"], ["--set", "limit", "limit_default"]),
        (["--set", "limit_default=0"], ["--set", "limit_default='0'", "at least 1"]),
        (["--set", "limit_default"], ["--set", "KEY=VALUE"]),
        (["--load", "customer=x"], ["--load", "customer", "customers, events"]),
        (["--load", "customers=/nowhere/x.jsonl"], ["--load", "/nowhere/x.jsonl", "No such file"]),
        (["--fault", "explode"], ["--fault", "explode", "status, delay"]),
        (["--fault", "status,times"], ["--fault", "times", "KEY=VALUE"]),
        (["--fault", "drop,seconds=3"], ["--fault", "seconds=3", "accepts"]),
        (["--bogus"], ["--bogus"]),
    ],
)
def test_wrong_arguments(arguments: list[str], expected: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """A wrong argument ends with 2 and one line that names it, its value and what is accepted."""
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    assert caught.value.code == 2
    output = capsys.readouterr()
    assert output.out == ""
    assert output.err.count("\n") == 1
    assert all(text in output.err for text in expected), output.err


def test_port_in_use(capsys: pytest.CaptureFixture[str]) -> None:
    """A port that is taken is named, with 2."""
    from airflow_provider_custobar.sandbox import CustobarSandbox

    with CustobarSandbox(generate=False) as sandbox:
        port = sandbox.url.rpartition(":")[2]
        with pytest.raises(SystemExit) as caught:
            main(["--port", port])
    assert caught.value.code == 2
    assert f"--port: '{port}'" in capsys.readouterr().err


@pytest.mark.processes
def test_signals_on_the_heels_of_each_other_stop_it() -> None:
    """However often it is told to stop, it stops, and ends with 0."""
    for _ in range(3):
        command = [sys.executable, "-m", "airflow_provider_custobar.sandbox", "--port", "0", "--customers", "1"]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        assert process.stdout is not None
        while "AIRFLOW_CONN_CUSTOBAR_DEFAULT" not in process.stdout.readline():
            pass
        for number in range(100):
            process.send_signal(signal.SIGINT if number % 2 else signal.SIGTERM)
        try:
            _, said = process.communicate(timeout=60)
        finally:
            process.kill()
        assert (process.returncode, said) == (0, "")


@pytest.mark.processes
def test_a_missing_extra_is_told_with_its_pip_line() -> None:
    """Without the extra's packages, the command and the Python API name the pip line instead of a missing module."""
    block = "import sys; sys.modules['werkzeug'] = None; "
    commands = (
        block + "import runpy; runpy.run_module('airflow_provider_custobar.sandbox', run_name='__main__')",
        block + "from airflow_provider_custobar.sandbox import CustobarSandbox",
    )
    for command in commands:
        done = subprocess.run([sys.executable, "-c", command], capture_output=True, text=True, check=False)
        assert done.returncode == 1
        assert "pip install 'airflow-provider-custobar[sandbox]'" in done.stderr
