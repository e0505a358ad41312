"""Every SQL statement and the object store."""
