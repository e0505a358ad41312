"""Providers of payments on one machine: their HTTP interface, signed webhooks, faults at will."""
