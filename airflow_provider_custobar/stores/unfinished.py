"""How unfinished things are called."""

from __future__ import annotations

import hashlib
from zlib import crc32

#: Where buckets hold what is unfinished: whoever reads an object's folder, or loads it by a wildcard, does not meet it.
UNFINISHED_PREFIX = ".custobar-unfinished"

_LONGEST_NAME_BYTES = 255
#: What object stores take for a whole name, folders included.
_LONGEST_PATH_BYTES = 1024
_ROOM_FOR_WHICH = 20


def unfinished_prefix(path: str, object_id: str) -> str:
    """What everything unfinished of ``path`` begins with, and nothing else does.

    A hidden neighbour: same folder, so that moving it is cheap; leading dot, so that readers of a folder skip it.
    """
    folder, slash, name = path.rpartition("/")
    around = len(f"..{object_id}..part".encode()) + _ROOM_FOR_WHICH
    room = min(_LONGEST_NAME_BYTES, _LONGEST_PATH_BYTES - len(f"{folder}{slash}".encode())) - around
    encoded = name.encode()
    if len(encoded) > room:
        # Files of one export may differ in their names' last characters only.
        check = f"{crc32(encoded):08x}"
        name = encoded[: max(room - len(check), 0)].decode(errors="ignore") + check
    return f"{folder}{slash}.{name}.{object_id}."


def apart_prefix(name: str, object_id: str) -> str:
    """What everything unfinished of the object ``name`` of a bucket begins with, apart from what the bucket is for."""
    return f"{UNFINISHED_PREFIX}/{object_id}/{hashlib.blake2b(name.encode(), digest_size=8).hexdigest()}/"
