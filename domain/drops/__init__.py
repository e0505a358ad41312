"""Drops: a fixed supply of numbered tokens, reserved, paid for, now and then returned. Pure."""
