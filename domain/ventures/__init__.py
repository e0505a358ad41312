"""Ventures: rounds with a goal, a deadline and escrow; what is promised to investors. Pure."""
