"""Payouts: from a user's balance to their account elsewhere, once."""
