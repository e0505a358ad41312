"""One adapter per outside service, each behind a port."""
