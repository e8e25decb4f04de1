"""Python code that tests run in a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping

from tools.airflow_home import PROJECT


def output_of(code: str, *arguments: object, environment: Mapping[str, str] | None = None) -> str:
    """What ``code`` prints. Where it fails, the test fails with what it said."""
    command = [sys.executable, "-X", "faulthandler", "-c", code, *map(str, arguments)]
    done = subprocess.run(
        command, cwd=PROJECT, env={**os.environ, **(environment or {})}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, f"ended with {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done.stdout
