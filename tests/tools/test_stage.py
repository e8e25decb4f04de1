"""How the demo ends when something goes wrong."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tools.stage import run_to_the_end, step

pytestmark = pytest.mark.processes

PROJECT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def own_signal_handler() -> Iterator[None]:
    """Leave this process's answer to SIGTERM as it was."""
    before = signal.getsignal(signal.SIGTERM)
    yield
    signal.signal(signal.SIGTERM, before)


def test_a_failing_step_is_named_and_everything_is_stopped(capsys: pytest.CaptureFixture[str]) -> None:
    """Rule: a failure ends with another code than 0, says which step it was and why, and stops what was started."""
    stopped = []

    def act(stack: ExitStack) -> int:
        stack.callback(stopped.append, "server")
        with step("start the server"):
            pass
        with step("run the export"):
            raise OSError("no space left")

    assert run_to_the_end(act) == 1
    printed = capsys.readouterr()
    assert "Step failed: run the export" in printed.err
    assert "no space left" in printed.err
    assert stopped == ["server"]


def test_an_interrupted_demo_stops_everything(capsys: pytest.CaptureFixture[str]) -> None:
    """Rule: Ctrl-C stops what was started, too."""
    stopped = []

    def act(stack: ExitStack) -> int:
        stack.callback(stopped.append, "server")
        raise KeyboardInterrupt

    assert run_to_the_end(act) == 130
    assert stopped == ["server"]


def test_a_demo_whose_dag_fails_ends_with_a_code() -> None:
    """Rule: a failed DAG run fails the demo, by the name of its step; nothing is taken for a success."""
    code = """
        import sys
        from tools import demo
        demo.BUCKET = "another"      # not the one that the example DAGs write to
        import tools.stage
        tools.stage.BUCKET = "another"
        sys.exit(tools.stage.run_to_the_end(demo.run))
    """
    lines = "\n".join(line.strip() for line in code.splitlines())
    done = subprocess.run([sys.executable, "-c", lines], cwd=PROJECT, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "Step failed: run custobar_daily_export" in done.stderr
    # All of the reasons, whatever order Airflow ran the tasks in.
    assert "There is no S3 bucket 'custobar-exports'" in done.stderr
    assert "There is no GCS bucket 'custobar-exports'" in done.stderr
