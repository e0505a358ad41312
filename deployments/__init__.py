"""Composition root: settings, Ray actors, Serve applications, the launcher and the CLI."""
