"""Which failures of a batch pass by themselves."""

from __future__ import annotations

import asyncpg

from storage.database import CONNECTION_ERRORS

# The server, or the way to it, was not able to; the same batch may work in a moment.
_PASSING = (
    *CONNECTION_ERRORS,
    # A server that dies as a statement is sent: asyncpg finds its own protocol in mid-operation.
    asyncpg.InternalClientError,
    asyncpg.TransactionRollbackError,  # deadlocks, serialization
    asyncpg.OperatorInterventionError,  # shutdown, cancelled statements
    asyncpg.InsufficientResourcesError,  # disk, memory, connections
    asyncpg.IdleInTransactionSessionTimeoutError,
    asyncpg.LockNotAvailableError,
    asyncpg.ReadOnlySQLTransactionError,  # a failover is under way
)


def is_passing(error: Exception) -> bool:
    """Whether to run the batch again. The outcome of the one that failed is unknown."""
    # asyncpg's own complaint about an argument is an InterfaceError and a ValueError.
    return isinstance(error, _PASSING) and not isinstance(error, ValueError)


def clashes_with_journal(error: Exception) -> bool:
    """Whether another recorded a key, or an entity's events, that this batch wanted to write."""
    return isinstance(error, asyncpg.UniqueViolationError) and error.schema_name == "runtime"
