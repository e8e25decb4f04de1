"""Arguments that were given, and that their templates made nothing of."""

from __future__ import annotations

from typing import Any, ClassVar

from airflow_provider_custobar.api.errors import InvalidArgumentError


class Rendered:
    """For operators, sensors and triggers, in front of Airflow's own class.

    To leave an argument out is to ask for something else (everything, the default, nothing at all), so one that was given must
    not get lost on its way, nor a part of one: where templates are rendered natively, where another task pushed no XCom.
    """

    #: Fields that hold data, within which None is a value like any other.
    data_fields: ClassVar[tuple[str, ...]] = ()
    _lost_arguments: tuple[str, ...] = ()

    def __setattr__(self, name: str, value: Any) -> None:
        # However a template field loses its value, it is set to None. Rendering itself is let through, for the UI to show it.
        if name in getattr(self, "template_fields", ()):
            others = tuple(lost for lost in self._lost_arguments if lost != name)
            is_lost = _is_lost(getattr(self, name, None), value, is_data=name in self.data_fields)
            self._lost_arguments = (*others, name) if is_lost else others
        super().__setattr__(name, value)

    def refuse_lost_arguments(self) -> None:
        """
        To be called before anything is done.

        :raises InvalidArgumentError: an argument that was given is None.
        """
        for name in self._lost_arguments:
            raise InvalidArgumentError(
                name, None, "its template rendered to nothing, and to leave it out would mean something else: give it a value"
            )


def _is_lost(before: object, after: object, *, is_data: bool = False) -> bool:
    if isinstance(before, dict) and isinstance(after, dict) and not is_data:
        return any(_is_lost(value, after.get(key)) for key, value in before.items())
    if isinstance(before, (list, tuple)) and isinstance(after, (list, tuple)) and not is_data:
        return any(_is_lost(*pair) for pair in zip(before, after, strict=False))
    # Where templates are rendered as texts, None is a word.
    return before is not None and (after is None or (isinstance(after, str) and after == "None" != before))
