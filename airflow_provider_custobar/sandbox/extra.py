"""What to say where the packages of the ``sandbox`` extra are missing."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

_PACKAGES = ("mimesis", "msgspec", "werkzeug")


@contextmanager
def pip_line_if_missing() -> Iterator[None]:
    """Name the extra in the error when one of its packages cannot be imported inside the block."""
    try:
        yield
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in _PACKAGES:
            raise
        raise ModuleNotFoundError(
            f"The sandbox needs {error.name}: pip install 'airflow-provider-custobar[sandbox]'", name=error.name
        ) from error
