"""Settings that can be changed while a simulator runs, and are checked when they are."""

from __future__ import annotations

import dataclasses
import difflib
from collections.abc import Callable, Iterator
from typing import Any

from airflow_provider_custobar.sandbox.options import Kind, from_text


def option(default: Any, kind: Kind) -> Any:
    """Declare a setting; the kind travels in the field's metadata."""
    return dataclasses.field(default=default, metadata={"kind": kind})


class LiveSettings:
    """A dataclass's base: an assignment takes effect with the next request, a wrong one raises."""

    def __setattr__(self, name: str, value: Any) -> None:
        """Check name and value, then assign."""
        object.__setattr__(self, name, self._checked(name, value, self.kind(name).check))

    @classmethod
    def kind(cls, name: str) -> Kind:
        """Return what values the setting takes; AttributeError with the known names for a wrong name."""
        known = {field.name: field.metadata["kind"] for field in dataclasses.fields(cls)}  # type: ignore[arg-type]
        if name not in known:
            close = difflib.get_close_matches(name, known, n=1)
            hint = f" Did you mean {close[0]!r}?" if close else ""
            raise AttributeError(f"no setting {name!r}.{hint} Settings: {', '.join(sorted(known))}")
        found: Kind = known[name]
        return found

    def set_text(self, name: str, text: str) -> None:
        """Assign a value written as text, as the command line and the admin route get it."""
        kind = self.kind(name)
        object.__setattr__(self, name, self._checked(name, text, lambda given: from_text(kind, given)))

    def items(self) -> Iterator[tuple[str, Any]]:
        """Yield name and value of every setting."""
        for field in dataclasses.fields(self):  # type: ignore[arg-type]
            yield field.name, getattr(self, field.name)

    def _checked(self, name: str, value: Any, check: Callable[[Any], Any]) -> Any:
        try:
            return check(value)
        except ValueError as err:
            raise ValueError(f"{name}={value!r}: expected {self.kind(name).accepted}") from err
