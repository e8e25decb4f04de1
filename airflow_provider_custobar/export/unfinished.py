"""How unfinished things are called, and how a finished object tells whose it is."""

from __future__ import annotations

from zlib import crc32

#: The key in an object's metadata under which the signature of its export stands.
MARK_KEY = "custobar-export"

_LONGEST_NAME_BYTES = 255
#: What object stores take for a whole name, folders included.
_LONGEST_PATH_BYTES = 1024
_ROOM_FOR_WHICH = 20


def unfinished_prefix(path: str, mark: str) -> str:
    """What everything unfinished of ``path`` begins with, and nothing else does.

    A hidden neighbour: same folder, so that moving it is cheap; leading dot, so that readers of a folder skip it.
    """
    folder, slash, name = path.rpartition("/")
    around = len(f"..{mark}..part".encode()) + _ROOM_FOR_WHICH
    room = min(_LONGEST_NAME_BYTES, _LONGEST_PATH_BYTES - len(f"{folder}{slash}".encode())) - around
    encoded = name.encode()
    if len(encoded) > room:
        # Files of one export may differ in their names' last characters only.
        check = f"{crc32(encoded):08x}"
        name = encoded[: max(room - len(check), 0)].decode(errors="ignore") + check
    return f"{folder}{slash}.{name}.{mark}."


def unfinished_name(path: str, mark: str, which: str = "") -> str:
    """The name of something unfinished; ``which`` tells several of one export apart."""
    return f"{unfinished_prefix(path, mark)}{which}{'.' if which else ''}part"
