"""Rows out of the bytes of one file: a module for each format. None of them knows a store or a name."""
