"""JSON texts as Python values: every number with the digits that it came with, and no name twice in one object."""

from __future__ import annotations

import json
import re
from decimal import Decimal
from json import JSONDecoder
from typing import Any

import msgspec

from airflow_provider_custobar.api.errors import field_name

_MARK = re.compile(r'"(?:[^"\\]|\\.)*"|[\[\]{}:]')
# Python gives up at some hundred levels.
_DEEP = 200


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
    is_plain = text.count('":') == names and " :" not in text and not any(space in text for space in "\t\r\n")
    return value if is_plain else _decode_closely(text)


def decode_at(text: str, start: int) -> tuple[Any, int]:
    """The value that begins at ``start``, and where it ends.

    :raises UnfitJsonError: as :func:`decode` does.
    :raises json.JSONDecodeError: no JSON, or cut.
    """
    try:
        return _raw_decode(text, start)
    except RecursionError:
        raise UnfitJsonError(f"{_member_at(text, start)} is nested too deep") from None
    except _TooLargeError as error:
        place = text.find(str(error), start)
        raise UnfitJsonError(f"{_member_at(text, start, place)} holds a number that is too large") from None


def _decode_closely(text: str) -> Any:
    start = len(text) - len(text.lstrip(" \t\r\n"))
    value, end = decode_at(text, start)
    if text[end:].strip(" \t\r\n"):
        raise ValueError("something follows the value")
    return value


def _member_at(text: str, start: int, place: int | None = None) -> str:
    """What messages call the member of the object at ``start`` that holds what stands at ``place``, or is nested deep."""
    depth, last, member = 0, "", "it"
    for mark in _MARK.finditer(text, start):
        if depth > _DEEP or (place is not None and mark.start() > place):
            break
        match mark[0]:
            case "[" | "{":
                depth += 1
            case "]" | "}":
                depth -= 1
            case ":" if depth == 1:
                member = field_name(json.loads(last))
            case ":":
                pass
            case string:
                last = string
    return member


def _names_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) < len(pairs):
        names = [name for name, _ in pairs]
        twice = field_name(next(name for name in names if names.count(name) > 1))
        raise UnfitJsonError(f"it has one name twice: {twice}")
    return made


class _TooLargeError(Exception):
    """The text of a number that Python does not make one of."""


def _whole(digits: str) -> int:
    try:
        return int(digits)
    except ValueError:
        raise _TooLargeError(digits) from None


def _decimal(digits: str) -> Decimal:
    try:
        return Decimal(digits)
    except ArithmeticError:
        raise _TooLargeError(digits) from None


_decode = msgspec.json.Decoder(float_hook=Decimal).decode
_raw_decode = JSONDecoder(parse_float=_decimal, parse_int=_whole, object_pairs_hook=_names_once).raw_decode
