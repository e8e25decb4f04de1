"""The words that options of an upload may be; needed where a DAG is parsed, so this imports nothing that costs time."""

from __future__ import annotations

import codecs
from typing import Literal

from airflow_provider_custobar.api.errors import InvalidArgumentError

OnInvalid = Literal["fail", "skip"]
ON_INVALID: tuple[OnInvalid, ...] = ("fail", "skip")
EventsDelivery = Literal["at_most_once", "at_least_once"]
EVENTS_DELIVERY: tuple[EventsDelivery, ...] = ("at_most_once", "at_least_once")
Verify = Literal["sample", "all"] | None
VERIFY: tuple[Verify, ...] = ("sample", "all", None)
UnknownFields = Literal["fail", "drop", "send"]
UNKNOWN_FIELDS: tuple[UnknownFields, ...] = ("fail", "drop", "send")
UploadFormat = Literal["csv", "json", "jsonl", "parquet", "infer"]
UPLOAD_FORMATS: tuple[UploadFormat, ...] = ("csv", "json", "jsonl", "parquet", "infer")
UploadCompression = Literal["gzip", "zstd", "infer"] | None
UPLOAD_COMPRESSIONS: tuple[UploadCompression, ...] = ("gzip", "zstd", "infer", None)
# Python counts these among the encodings of texts, but they are ways to write one text as another.
_NO_FILE_ENCODINGS = ("idna", "punycode", "raw-unicode-escape", "unicode-escape")


def check_choices(*, on_invalid: object, events_delivery: object, verify: object, unknown_fields: object) -> None:
    """Check the arguments that are one of a few words, which no template renders.

    :raises InvalidArgumentError: another word.
    """
    choices: tuple[tuple[str, object, tuple[object, ...]], ...] = (
        ("on_invalid", on_invalid, ON_INVALID),
        ("events_delivery", events_delivery, EVENTS_DELIVERY),
        ("verify", verify, VERIFY),
        ("unknown_fields", unknown_fields, UNKNOWN_FIELDS),
    )
    for argument, given, accepted in choices:
        if given not in accepted:
            raise InvalidArgumentError(argument, given, f"give one of {', '.join(map(str, accepted))}")


def check_file_arguments(file_format: object, compression: object) -> None:
    """:raises InvalidArgumentError: none of the words that there are."""
    if file_format not in UPLOAD_FORMATS:
        raise InvalidArgumentError("file_format", file_format, f"give one of {', '.join(UPLOAD_FORMATS)}")
    if compression not in UPLOAD_COMPRESSIONS:
        raise InvalidArgumentError("compression", compression, f"give one of {', '.join(map(str, UPLOAD_COMPRESSIONS))}")


def canonical_encoding(encoding: object) -> str:
    """The one name of an encoding that Python knows by many, in any spelling.

    :raises InvalidArgumentError: no encoding of texts.
    """
    try:
        name = codecs.lookup(encoding).name if isinstance(encoding, str) else ""
        # Codecs such as base64 are known, too, but encode no text.
        is_good = bool(name) and name not in _NO_FILE_ENCODINGS and isinstance("".encode(name), bytes)
    except (LookupError, ValueError):
        is_good = False
    if not is_good:
        raise InvalidArgumentError("encoding", encoding, "give the name of a text encoding, such as utf-8, utf-16 or cp1252")
    return name


def delimiter_character(delimiter: object) -> str | None:
    """The character between two cells; None where it is to be found in the file.

    :raises InvalidArgumentError: neither None nor one character that can stand there.
    """
    if delimiter is None:
        return None
    # As a tab is written where no tab can be.
    character = "\t" if delimiter == "\\t" else delimiter
    if not isinstance(character, str) or len(character) != 1 or character in '"\r\n\0':
        raise InvalidArgumentError(
            "delimiter", delimiter, r"give one character, such as ; or | or \t, or None to have it found"
        )
    return character
