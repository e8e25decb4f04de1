"""Lists where a source has no type for them: JSON in a text, or texts with commas between them in a cell."""

from __future__ import annotations

import ast
import re
from collections.abc import Sequence
from decimal import Decimal
from typing import Any

from airflow_provider_custobar.upload.exact_json import UnfitJsonError, decode

_ITEM = re.compile(r'\s*"((?:[^"]|"")*)"\s*(?:,|\Z)|([^,]*)(?:,|\Z)')
_PYTHON_TEXT = r"""(?:'(?:[^'\\\n]|\\.)*'|"(?:[^"\\\n]|\\.)*")"""
# Python's own form of a list of texts, which pandas writes into CSV.
_PYTHON_LIST = re.compile(rf"\s*\[\s*{_PYTHON_TEXT}(?:\s*,\s*{_PYTHON_TEXT})*\s*\]\s*")
_LONGEST_NUMBER = 100


def list_in(text: str) -> list[Any] | None:
    """The list that a text is, as JSON or as Python writes it; None for any other text, such as ``[sic] tag``.

    :raises UnfitJsonError: a list that cannot be read without a loss.
    """
    if not text.lstrip().startswith("["):
        return None
    try:
        value = decode(text)
    except UnfitJsonError:
        raise
    except ValueError:
        value = ast.literal_eval(text.strip()) if _PYTHON_LIST.fullmatch(text) else None
    return value if isinstance(value, list) else None


def as_texts(items: Sequence[Any]) -> list[Any]:
    """Numbers as their digits: keys are often numbers. Anything else stays, for the checks to refuse."""
    return [_digits(item) if isinstance(item, (int, Decimal)) and not isinstance(item, bool) else item for item in items]


def texts_in(cell: str) -> list[Any]:
    """The texts of a cell: a list as :func:`list_in` knows it, else what stands between its commas. Quotes hold a text together
    that has commas of its own, as in CSV itself.

    :raises ValueError: a list of some other form, which its commas would tear.
    """
    found = list_in(cell)
    if found is not None:
        return as_texts(found)
    items = _split(cell)
    if len(items) > 1 and cell.lstrip().startswith("[") and "]" not in items[0]:
        raise ValueError
    return items


def text_or_texts_in(cell: str) -> str | list[Any]:
    """A cell that may be one text, commas and all, unless it is plainly a list: JSON, or with an item in quotes."""
    found = list_in(cell)
    if found is not None:
        return as_texts(found)
    items = _split(cell) if any(match[1] for match in _ITEM.finditer(cell)) else []
    return items if len(items) > 1 else cell


def _split(cell: str) -> list[str]:
    if '"' in cell:
        items = [match[2] if match[1] is None else match[1].replace('""', '"') for match in _ITEM.finditer(cell)]
    else:
        items = cell.split(",")
    return [item for part in items if (item := part.strip())]


def _digits(number: int | Decimal) -> str:
    if isinstance(number, int):
        return str(number)
    is_long = not number.is_finite() or number.adjusted() > _LONGEST_NUMBER
    return str(number) if is_long or number != number.to_integral_value() else str(int(number))
