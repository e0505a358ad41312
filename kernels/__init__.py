"""Compiled hot paths: arrays in, arrays out."""
