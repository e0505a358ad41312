"""Builds the engine's parts out of settings: the only place that opens pools and clients.

One module a kind of process.
"""
