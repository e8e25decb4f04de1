"""The table of what an upload checks, written to docs/validation.md: ``python -m tools.validation_table``."""

from __future__ import annotations

from pathlib import Path

from airflow_provider_custobar.api.resources import RESOURCES, Resource
from airflow_provider_custobar.upload.schema import FROM_TEXT, accepted_by
from tools.airflow_home import PROJECT

PATH = Path(PROJECT) / "docs" / "validation.md"

_INTRODUCTION = """\
# What an upload checks

Made by `python -m tools.validation_table` from the catalogue of resources and the schemas that check rows, so it is what the
code does. Every row is checked before the first one is sent; a reason names the field and never shows its value.

- A null is left out. An empty text removes the field in Custobar; an empty CSV cell is left out unless `clear_empty=True`.
- Phone numbers are judged by [phonenumbers](https://github.com/daviddrysdale/python-phonenumbers): in E.164 form, and of a
  length that the country has. E-mail addresses are judged by
  [email-validator](https://github.com/JoshData/python-email-validator), by their form alone: nothing is looked up.
- A datetime without an offset gets that of the connection's `timezone`; a date stays a date.
- Your own fields, `COMPANY__name`, may hold whatever JSON can. Where the connection's host or `company` tells the prefix,
  another company's fields are refused. Any other name is refused, with a suggestion: `field_mapping={"Notes": None}` leaves one
  field out, `unknown_fields="drop"` all of them, and `unknown_fields="send"` sends them. Of names only those that look like a
  field's are shown (letters, digits, `_` and `.`), since the first line of a file without a header is a person.
- A value of another type is converted where nothing is lost. Whole numbers become texts where texts are documented (`17`, and
  `17.0` below 2**53, since pandas makes floats of whole numbers with gaps). Numerals become numbers where numbers are
  documented (`"0.5"`, `"2.0000"`). Money is whole hundredths, so whatever has a point is refused, be it `19.90`, `"1990.00"`
  or `1990.0`. Booleans, telephone numbers and e-mail addresses are never made of anything else.
- A row larger than `max_batch_bytes` is refused.
"""


def text() -> str:
    return "\n".join([_INTRODUCTION, *(part for resource in RESOURCES.values() for part in _section(resource))])


def _section(resource: Resource) -> list[str]:
    rules = []
    if resource.group:
        one = resource.name.removesuffix("s")
        rules.append(
            f"Rows with the same `{resource.group}`, which each of them needs, make one {one}. Every {one} needs the following"
            f" once, in whichever of its rows; if one of its rows is refused, all of them are."
        )
    required = [f"`{name}`" for name in resource.required if name != resource.group]
    if required:
        rules.append(f"Needs {' and '.join(required)}.")
    if resource.identifiers:
        rules.append(f"Needs at least one of {', '.join(f'`{name}`' for name in resource.identifiers)}.")
    if resource.name == "customers":
        rules.append("Without `external_id` it needs `require_external_id=False`: it changes every customer with that address.")
        rules.append("With `is_forgotten` or `is_deleted` it needs `allow_irreversible=True`.")
    if resource.never_repeatable:
        rules.append("Has no identifier: sent twice, it is there twice (`events_delivery`).")
    elif resource.repeatable_with:
        rules.append(f"Without `{resource.repeatable_with}` it is there twice if it is sent twice (`events_delivery`).")
    by_kind: dict[tuple[str, str], list[str]] = {}
    for name, field_type in resource.write_fields.items():
        kind = (accepted_by(resource.name, name), FROM_TEXT.get(field_type, "the text itself"))
        by_kind.setdefault(kind, []).append(f"`{name}`")
    rows = [f"| {', '.join(names)} | {must_be} | {cell} |" for (must_be, cell), names in by_kind.items()]
    return [f"## {resource.name}", "", " ".join(rules), "", "| field | must be | CSV cell |", "|---|---|---|", *rows, ""]


if __name__ == "__main__":
    PATH.write_text(text())
