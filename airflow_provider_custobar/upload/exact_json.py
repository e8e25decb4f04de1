"""JSON texts as Python values: every number with the digits that it came with, and no name twice in one object."""

from __future__ import annotations

from decimal import Decimal
from json import JSONDecoder
from typing import Any

import msgspec


class UnfitJsonError(ValueError):
    """What may well be JSON, but no value can be made of it without a loss. The text shows nothing of it."""


def decode(text: str) -> Any:
    """The value of a JSON text. ``NaN`` and its like are read, for the checks to refuse by the field's name.

    :raises UnfitJsonError: no value without a loss.
    :raises ValueError: no JSON.
    """
    try:
        value = _decode(text)
    except UnicodeError:
        raise UnfitJsonError("it holds bytes that are no text in its encoding") from None
    except (msgspec.DecodeError, ArithmeticError, RecursionError):
        return _decode_closely(text)
    # A colon follows each name. Where there seem to be more of them than names, be it in a text, a closer look is needed.
    names = len(value) if isinstance(value, dict) else 0
    return value if text.count('":') == names and " :" not in text and "\t" not in text else _decode_closely(text)


def decode_at(text: str, start: int) -> tuple[Any, int]:
    """The value that begins at ``start``, and where it ends.

    :raises UnfitJsonError: as :func:`decode` does.
    :raises json.JSONDecodeError: no JSON, or cut.
    """
    try:
        return _raw_decode(text, start)
    except RecursionError:
        raise UnfitJsonError("it is nested too deep") from None
    except ArithmeticError:
        raise UnfitJsonError("it holds a number that is too large") from None


def _decode_closely(text: str) -> Any:
    start = len(text) - len(text.lstrip(" \t\r\n"))
    value, end = decode_at(text, start)
    if text[end:].strip(" \t\r\n"):
        raise ValueError("something follows the value")
    return value


def _names_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) < len(pairs):
        raise UnfitJsonError("it has one name twice")
    return made


def _whole(digits: str) -> int:
    try:
        return int(digits)
    except ValueError:
        raise UnfitJsonError("it holds a number that is too large") from None


_decode = msgspec.json.Decoder(float_hook=Decimal).decode
_raw_decode = JSONDecoder(parse_float=Decimal, parse_int=_whole, object_pairs_hook=_names_once).raw_decode
