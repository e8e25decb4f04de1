"""Names of buckets and objects: checked as rendered, and filled in with what the export is about."""

from __future__ import annotations

import re
from datetime import datetime

from airflow_provider_custobar.api.errors import InvalidArgumentError
from airflow_provider_custobar.api.query import Query

_BUCKET = re.compile(r"[a-z0-9][a-z0-9._-]{1,220}[a-z0-9]")


def fill_in(name: str, argument: str, query: Query) -> str:
    """``name`` with ``{event_types}``, ``{date}``, ``{window_start}`` and ``{window_end}`` filled in.

    Moments are basic ISO 8601, because a colon in a file name is trouble on some systems.

    :raises InvalidArgumentError: there is no window to take them from.
    """
    filled = name.replace("{event_types}", "+".join(query.event_types))
    window = query.window
    if window is None:
        if any(placeholder in filled for placeholder in ("{date}", "{window_start}", "{window_end}")):
            raise InvalidArgumentError(argument, name, "without a window there is nothing to put into its placeholder")
        return filled
    return (
        filled.replace("{date}", window.days[0].isoformat())
        .replace("{window_start}", _instant(window.start))
        .replace("{window_end}", _instant(window.end))
    )


def _instant(moment: datetime) -> str:
    # Two windows of one second are not to share a name.
    fraction = f".{moment:%f}" if moment.microsecond else ""
    return f"{moment:%Y%m%dT%H%M%S}{fraction}Z"


def check_filled(argument: str, value: object) -> str:
    """A name as rendered.

    :raises InvalidArgumentError: empty, or a template that rendered to nothing.
    """
    if not isinstance(value, str) or not value.strip() or value.strip() == "None":
        raise InvalidArgumentError(argument, value, "give a name; a template must not render to nothing")
    return value


def check_name(argument: str, value: object) -> str:
    """An object's name, or its path, as rendered.

    :raises InvalidArgumentError: as :func:`check_filled`, or a folder.
    """
    value = check_filled(argument, value)
    if value.endswith("/"):
        raise InvalidArgumentError(argument, value, "the name of the file is missing after the last slash")
    return value


def check_key(argument: str, value: object) -> str:
    """An object's name within its bucket.

    :raises InvalidArgumentError: as :func:`check_name`, or it starts with a slash or is a whole URL.
    """
    return check_keys(argument, check_name(argument, value))


def check_keys(argument: str, value: object) -> str:
    """What names one or more objects within a bucket: a name, a pattern or a prefix.

    :raises InvalidArgumentError: as :func:`check_filled`, or it starts with a slash or is a whole URL.
    """
    name = check_filled(argument, value)
    if "://" in name or name.startswith("/"):
        raise InvalidArgumentError(argument, value, "give the name within the bucket, without scheme, bucket and first slash")
    return name


def check_bucket(argument: str, value: object) -> str:
    """A bucket's name.

    :raises InvalidArgumentError: no name that S3 or GCS would allow.
    """
    if not isinstance(value, str) or not (_BUCKET.fullmatch(value) or value.startswith("arn:")):
        raise InvalidArgumentError(
            argument, value, "give the bucket's name alone: 3 to 222 lower-case letters, digits, dots, dashes and underscores"
        )
    return value
