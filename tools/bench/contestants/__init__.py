"""Ways to bring events from Custobar to S3. Each module has ``prepare(order)``, which returns the work to measure."""
