"""Helpers for tests, the demo and the benchmark; not part of the installed package."""
