"""Pages as Arrow columns of the types that Custobar documents."""
