"""The table of what an upload checks."""

from __future__ import annotations

from tools import validation_table


def test_the_table_is_what_the_code_does() -> None:
    """Rule: docs/validation.md is made of the schema; after a change: ``python -m tools.validation_table``."""
    assert validation_table.PATH.read_text() == validation_table.text()
