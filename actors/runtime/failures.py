"""Which failures of a batch mean that it should be run again."""

from __future__ import annotations

import asyncpg

from storage.database import is_passing

__all__ = ["clashes_with_journal", "is_passing"]


def clashes_with_journal(error: Exception) -> bool:
    """Whether another recorded a key, or an entity's events, that this batch wanted to write."""
    return isinstance(error, asyncpg.UniqueViolationError) and error.schema_name == "runtime"
