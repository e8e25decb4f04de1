"""The example workflows say what is so."""

from __future__ import annotations

import re

import yaml

from tools.matrix import CELLS, PROJECT

WORKFLOWS = {path.stem: path.read_text() for path in (PROJECT / ".github" / "workflows").glob("*.yml")}


def test_actions_are_pinned() -> None:
    """Rule: an action is named by the commit of a release, because tags can be moved."""
    lines = [line for text in WORKFLOWS.values() for line in text.splitlines() if "uses:" in line]
    assert len(lines) > 5
    assert [line for line in lines if not re.search(r"uses: [\w-]+/[\w-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+$", line)] == []


def test_the_matrix_is_the_matrix() -> None:
    """Rule: a hosting service runs the cells that ``make matrix`` has."""
    matrix = yaml.safe_load(WORKFLOWS["test"])["jobs"]["matrix"]["strategy"]["matrix"]
    assert matrix == {"cell": [str(cell) for cell in CELLS]}


def test_workflows_run_targets_that_are_there() -> None:
    """Rule: what a workflow makes is a target of the Makefile."""
    made = {target for text in WORKFLOWS.values() for target in re.findall(r"run: make ([a-z-]+)", text)}
    assert made == {"test", "matrix", "release-check"}
    assert made <= set(re.findall(r"^([a-z-]+):", (PROJECT / "Makefile").read_text(), re.MULTILINE))
