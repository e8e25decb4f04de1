"""Names of buckets and objects: checked as rendered, and filled in with what the export is about."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from airflow_provider_custobar.api.errors import InvalidArgumentError
from airflow_provider_custobar.api.query import Query
from airflow_provider_custobar.api.windows import Window

#: What boto3 takes, with S3's own least length: buckets made before 2018 may have capitals, underscores and 255 characters.
_S3_BUCKET = re.compile(r"[A-Za-z0-9._-]{3,255}")
_S3_ARN = re.compile(
    r"arn:aws[a-z-]*:s3(-object-lambda|-outposts)?:[a-z0-9-]*:[0-9]{12}:(accesspoint|outpost)[/:][A-Za-z0-9.:/-]+"
)
_GCS_BUCKET = re.compile(r"(?=.{3,222}\Z)[a-z0-9]([a-z0-9_-]{0,61}[a-z0-9])?(\.[a-z0-9]([a-z0-9_-]{0,61}[a-z0-9])?)*")
_BUCKET_SCHEME = re.compile(r"(s3[an]?|gs|gcs)://", re.IGNORECASE)
_S3_URL = re.compile(r"s3[an]?://(?P<bucket>[^/]*)/?(?P<key>.*)", re.IGNORECASE | re.DOTALL)
_OF_MOMENTS = ("{window_start}", "{window_end}")
#: Placeholders of a name that a window fills.
OF_WINDOW = ("{date}", *_OF_MOMENTS)
_PLACEHOLDERS = (*OF_WINDOW, "{event_types}", "{part}")
_LIKE_PLACEHOLDERS = re.compile(r"\{\w+\}")
# What a name may end in where a format is written; whoever writes JSON Lines may call them JSON.
_FORMATS = {"csv": ("csv",), "json": ("json", "jsonl"), "jsonl": ("jsonl",), "ndjson": ("jsonl",), "parquet": ("parquet",)}
_ENDING = re.compile(rf"\.({'|'.join(_FORMATS)})(\.(gz|gzip|zst|zstd))?\Z", re.IGNORECASE)
_ONE_DAY = timedelta(days=1)
_NO_WINDOW = (
    "without a window there is nothing to put into its placeholder: give date, window_start and window_end, or window='auto'"
)
_WITHIN = "give the name within the bucket, without scheme, bucket and first slash"


def fill_in(name: str, argument: str, query: Query) -> str:
    """``name`` with ``{event_types}``, ``{date}``, ``{window_start}`` and ``{window_end}`` filled in.

    Moments are basic ISO 8601, because a colon in a file name is trouble on some systems.

    :raises InvalidArgumentError: there is no window to take them from.
    """
    filled = name.replace("{event_types}", "+".join(query.event_types))
    window = query.window
    if window is None:
        if any(placeholder in filled for placeholder in OF_WINDOW):
            raise InvalidArgumentError(argument, name, _NO_WINDOW)
        return filled
    return (
        filled.replace("{date}", window.days[0].isoformat())
        .replace("{window_start}", _instant(window.start))
        .replace("{window_end}", _instant(window.end))
    )


def doubts(name: str, window: Window | None, file_format: str, *, replace: bool) -> Iterator[str]:
    """What is allowed in the name of an object to be written, and hardly ever meant."""
    is_of_day = "{date}" in name and not any(placeholder in name for placeholder in _OF_MOMENTS)
    if replace and is_of_day and window is not None and not window.is_whole_days and window.end - window.start < _ONE_DAY:
        yield "one name for all windows of a day, so that another one replaces this one: put {window_start} into it"
    unknown = sorted({*_LIKE_PLACEHOLDERS.findall(name)}.difference(_PLACEHOLDERS))
    if unknown:
        yield f"{', '.join(unknown)} in it as it stands: what is filled in is {', '.join(_PLACEHOLDERS)}"
    ending = _ENDING.search(name)
    if ending is not None and file_format not in _FORMATS[ending[1].lower()]:
        yield f"the ending .{ending[1]}, and file_format={file_format!r} is what is written"


def _instant(moment: datetime) -> str:
    # Two windows of one second are not to share a name.
    fraction = f".{moment:%f}" if moment.microsecond else ""
    return f"{moment:%Y%m%dT%H%M%S}{fraction}Z"


def check_filled(argument: str, value: object) -> str:
    """A name as rendered; where templates are rendered natively, one of digits has become a number.

    :raises InvalidArgumentError: empty, no text, or a template that rendered to nothing.
    """
    name = _as_text(value)
    if not isinstance(name, str) or not name.strip() or name.strip() == "None":
        raise InvalidArgumentError(argument, value, "give a name; a template must not render to nothing")
    if "\0" in name or any("\ud800" <= character <= "\udfff" for character in name):
        raise InvalidArgumentError(argument, value, "no store has names with such a character")
    return name


def check_name(argument: str, value: object) -> str:
    """An object's name, or its path, as rendered.

    :raises InvalidArgumentError: as :func:`check_filled`, or a folder.
    """
    name = check_filled(argument, value)
    if name.endswith("/"):
        raise InvalidArgumentError(argument, value, "the name of the file is missing after the last slash")
    return name


def check_key(argument: str, value: object) -> str:
    """An object's name within its bucket, to be written.

    :raises InvalidArgumentError: as :func:`check_name` and :func:`check_keys`, or it starts with a slash.
    """
    name = check_keys(argument, check_name(argument, value))
    if name.startswith("/"):
        raise InvalidArgumentError(argument, value, _WITHIN)
    return name


def check_keys(argument: str, value: object) -> str:
    """What names one or more objects within a bucket: a name, a pattern or a prefix.

    :raises InvalidArgumentError: as :func:`check_filled`, or it is a whole URL, or has ``.`` or ``..`` for a folder, which
        clients and servers resolve, or not, each in its own way.
    """
    name = check_filled(argument, value)
    if _BUCKET_SCHEME.match(name):
        raise InvalidArgumentError(argument, value, _WITHIN)
    if not {".", ".."}.isdisjoint(name.split("/")):
        raise InvalidArgumentError(argument, value, "a bucket has no folders to go up to: leave . and .. out of the name")
    return name


def within_bucket(argument: str, value: object, schemes: Collection[str], bucket: str) -> tuple[str, str] | None:
    """The bucket and the key that a URL of such a store names, or a plain name, which is in ``bucket``.

    None for what is elsewhere: an absolute path of this machine, a URL of another store, or one with a connection's name in it.

    :raises InvalidArgumentError: as :func:`check_key`.
    """
    name = check_filled(argument, value)
    scheme, separator, rest = name.partition("://")
    if separator and scheme.lower() in schemes:
        bucket, _, name = rest.partition("/")
        if "@" in bucket:
            return None
    elif separator or name.startswith("/"):
        return None
    return bucket, check_key(argument, name)


def check_s3_bucket(argument: str, value: object) -> str:
    """A bucket's name.

    :raises InvalidArgumentError: no name that S3 would allow, or ever did.
    """
    name = check_filled(argument, value)
    if not (_S3_BUCKET.fullmatch(name) or _S3_ARN.fullmatch(name)):
        accepted = (
            "give the bucket's name alone: 3 to 255 letters, digits, dots, dashes and underscores; or an access point's ARN"
        )
        raise InvalidArgumentError(argument, value, accepted)
    return name


def s3_place(bucket: object, key: object) -> tuple[str, object]:
    """The bucket's name, and the key as it was given; as with Airflow's ``S3Hook``, a whole URL names both.

    :raises InvalidArgumentError: as :func:`check_s3_bucket`, or the bucket is named twice, or not at all.
    """
    url = _S3_URL.match(key) if isinstance(key, str) else None
    if url is None:
        if bucket is None:
            raise InvalidArgumentError("s3_bucket", None, "give the bucket's name, or a whole URL as s3_key: s3://bucket/key")
        return check_s3_bucket("s3_bucket", bucket), key
    if bucket is not None:
        raise InvalidArgumentError("s3_key", key, f"{_WITHIN}; or give the whole URL, and no s3_bucket")
    if "@" in url["bucket"]:
        # What stands before it may be a key, which no message shows.
        raise InvalidArgumentError(
            "s3_key", "s3://...@...", "give the connection by aws_conn_id, and nothing before the bucket"
        )
    return check_s3_bucket("s3_key", url["bucket"]), url["key"]


def check_gcs_bucket(argument: str, value: object) -> str:
    """A bucket's name.

    :raises InvalidArgumentError: no name that GCS would allow.
    """
    name = check_filled(argument, value)
    if not _GCS_BUCKET.fullmatch(name):
        accepted = (
            "give the bucket's name alone: 3 to 63 lower-case letters, digits, dashes and underscores, or several such "
            "parts with dots between them, 222 characters at most"
        )
        raise InvalidArgumentError(argument, value, accepted)
    return name


def check_metadata(argument: str, value: object) -> dict[str, str]:
    """An object's own metadata: texts by name; a whole number, as native rendering makes of digits, becomes its text.

    :raises InvalidArgumentError: another type.
    """
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise InvalidArgumentError(argument, value, "give a dictionary of texts by name")
    for name, each in value.items():
        if not isinstance(_as_text(name), str) or not isinstance(_as_text(each), str):
            raise InvalidArgumentError(argument, {name: each}, "names and values are texts, or whole numbers")
    return {str(name): str(each) for name, each in value.items()}


def check_extra_args(value: object, known: Sequence[str]) -> dict[str, Any]:
    """The operators' ``extra_args``, of which boto3 knows these.

    :raises InvalidArgumentError: no dictionary, or another name in it.
    """
    if value is not None and not isinstance(value, Mapping):
        raise InvalidArgumentError("extra_args", value, "give a dictionary")
    extra_args = dict(value or {})
    for name in extra_args:
        if name not in known:
            raise InvalidArgumentError("extra_args", name, f"boto3 takes {', '.join(known)}")
    if "Metadata" in extra_args:
        extra_args["Metadata"] = check_metadata("extra_args", extra_args["Metadata"])
    owner = extra_args.get("ExpectedBucketOwner")
    if isinstance(owner, int) and not isinstance(owner, bool):
        # An account's twelve digits, of which native rendering takes the first zeros.
        extra_args["ExpectedBucketOwner"] = f"{owner:012d}"
    return extra_args


def _as_text(value: object) -> object:
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value
