"""Spiffy Stores, a shop system, as a source of customers: what is its own; the rest is shared with Custobar's client."""
