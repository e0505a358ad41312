"""Payments: the rules, without any provider."""
