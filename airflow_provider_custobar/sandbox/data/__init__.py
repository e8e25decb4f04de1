"""Believable data, computed from its index: a million events take no memory until a page is asked for."""
