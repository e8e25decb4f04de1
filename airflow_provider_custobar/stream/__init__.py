"""What exports and loads share: pages read ahead, how far a run is, and what outlives it."""
