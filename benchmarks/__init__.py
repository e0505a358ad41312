"""Speed, one command each: `make bench NAME=ledger`."""
