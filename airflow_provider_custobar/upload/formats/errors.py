"""What is wrong with a file as a whole."""

from __future__ import annotations


class UnreadableFileError(Exception):
    """A file is damaged, cut short or not of its format.

    The text shows nothing of the file's content; whoever opened the file adds its name.
    """
