"""Payments: providers, accounts, what owners are asked and tell."""
