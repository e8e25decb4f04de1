"""Kinds of setting values: what each accepts, in Python and as text on the command line."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, Protocol
from zoneinfo import ZoneInfo


class Kind(Protocol):
    """A kind of value: ``accepted`` is shown to whoever gave a wrong one."""

    @property
    def accepted(self) -> str:
        """Say in words what is accepted."""

    def check(self, value: Any) -> Any:
        """Return the value to keep, or raise ValueError."""


class Number:
    """A number of at least ``minimum``; ``optional`` allows None."""

    def __init__(self, minimum: float = 0, *, whole: bool = True, optional: bool = False) -> None:
        self.minimum = minimum
        self.whole = whole
        self.optional = optional

    @property
    def accepted(self) -> str:
        """Say in words what is accepted."""
        noun = "a whole number" if self.whole else "a number"
        return f"{noun} of at least {self.minimum:g}" + (" or None" if self.optional else "")

    def check(self, value: Any) -> Any:
        """Return the value; booleans are not numbers here."""
        if value is None and self.optional:
            return None
        types = (int,) if self.whole else (int, float)
        if isinstance(value, bool) or not isinstance(value, types) or value < self.minimum:
            raise ValueError
        return value


class Flag:
    """True or False."""

    accepted = "True or False"

    def check(self, value: Any) -> Any:
        """Return the boolean; ``on`` and ``off`` serve the command line."""
        if isinstance(value, str):
            value = {"true": True, "on": True, "false": False, "off": False}.get(value.lower())
        if not isinstance(value, bool):
            raise ValueError
        return value


class Choice:
    """One of a few words or numbers; ``aliases`` are other ways to say one of them."""

    def __init__(self, *words: str | int, aliases: dict[Any, str] | None = None) -> None:
        self.words = words
        self.aliases = aliases or {}

    @property
    def accepted(self) -> str:
        """Say in words what is accepted."""
        return "one of " + ", ".join(map(repr, self.words))

    def check(self, value: Any) -> Any:
        """Return the word meant."""
        if isinstance(value, bool | str) and value in self.aliases:
            return self.aliases[value]
        if isinstance(value, bool) or value not in self.words:
            raise ValueError
        return value


class Subset:
    """A set of words, given as a sequence or as comma-separated text."""

    def __init__(self, *words: str) -> None:
        self.words = words

    @property
    def accepted(self) -> str:
        """Say in words what is accepted."""
        return "any of " + ", ".join(map(repr, self.words))

    def check(self, value: Any) -> Any:
        """Return the words as a tuple, lower-cased."""
        if isinstance(value, str):
            value = value.split(",")
        if not isinstance(value, Sequence | set | frozenset):
            raise ValueError
        words = tuple(str(word).strip().lower() for word in value)
        if not words or any(word not in self.words for word in words):
            raise ValueError
        return words


class Zone:
    """The name of a time zone."""

    accepted = "the name of a time zone, such as 'UTC' or 'Europe/Helsinki'"

    def check(self, value: Any) -> Any:
        """Return the name; it is looked up once to prove that it exists."""
        try:
            ZoneInfo(value)
        except (TypeError, OSError, KeyError) as err:
            raise ValueError from err
        return value


def from_text(kind: Kind, text: str) -> Any:
    """Read a setting's value from the command line: JSON where that fits the kind, else the plain text."""
    try:
        value = json.loads(text)
    except ValueError:
        value = None if text.lower() == "none" else text
    try:
        return kind.check(value)
    except ValueError:
        return kind.check(text)
