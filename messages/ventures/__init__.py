"""Ventures: rounds in which fans fund what an artist plans, all of it or nothing."""
