"""Plain classes that own entities. Nothing here imports ray."""
