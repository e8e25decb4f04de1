"""What surrounds a running task, whatever it does."""
