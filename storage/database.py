"""The one way to a PostgreSQL connection pool."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Any, TypeAlias, cast

import asyncpg

if TYPE_CHECKING:
    Connection: TypeAlias = (
        asyncpg.Connection[asyncpg.Record] | asyncpg.pool.PoolConnectionProxy[asyncpg.Record]
    )
    Pool: TypeAlias = asyncpg.Pool[asyncpg.Record]
else:
    Connection = asyncpg.Connection
    Pool = asyncpg.Pool

# What a connection raises when the server went away, as opposed to refusing a statement.
CONNECTION_ERRORS = (
    OSError,
    TimeoutError,
    asyncpg.PostgresConnectionError,
    asyncpg.InterfaceError,
    asyncpg.CannotConnectNowError,
    asyncpg.AdminShutdownError,
    asyncpg.CrashShutdownError,
    asyncpg.TooManyConnectionsError,
)

# What passes by itself: the server, or the way to it, was not able to.
PASSING_ERRORS = (
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

SERVER_SETTINGS = {
    "application_name": "vibestream",
    # A transaction left open would hold back the bus (docs/decisions), so the server ends it.
    "idle_in_transaction_session_timeout": "15s",
    "statement_timeout": "30s",
    "jit": "off",
    "timezone": "UTC",
}

# For connections that read the outbox. A generic plan made while the table was near to empty sorts
# all that a stream has, and stays until the first ANALYZE: measured at 200,000 rows, 30 ms for each
# look of an idle relay; planned anew, 0.2 ms.
PLANNED_ANEW = {"plan_cache_mode": "force_custom_plan"}

# For connections that read and write by key alone. The same trap: a plan made while a table was
# near to empty reads all of it. Measured on a new database after 10,000 payments: 17 ms for the
# statement that writes their read models, 0.4 ms by the indexes.
KEYED = {
    "enable_seqscan": "off",
    "enable_hashjoin": "off",
    "enable_mergejoin": "off",
}


def is_passing(error: BaseException) -> bool:
    """Whether the same may work in a moment. What a failed transaction did is unknown."""
    # asyncpg's own complaint about an argument is an InterfaceError and a ValueError.
    return isinstance(error, PASSING_ERRORS) and not isinstance(error, ValueError)


async def open_pool(
    url: str,
    *,
    min_size: int = 1,
    max_size: int = 8,
    application_name: str = SERVER_SETTINGS["application_name"],
    reset: Callable[[Any], Awaitable[None]] | None = None,
    settings: Mapping[str, str] | None = None,
    present_url: Callable[[], str] | None = None,
) -> Pool:
    """A pool on `url`. Raises one of CONNECTION_ERRORS if the server cannot be reached.

    reset: what is done to a connection that comes back; None is asyncpg's own, a round trip.
    settings: of the server for its connections, beside SERVER_SETTINGS.
    present_url: what the URL is by now, asked for each new connection; its password may change.
    """

    async def connect(_url: Any, **options: Any) -> Any:
        return await asyncpg.connect(url if present_url is None else present_url(), **options)

    return await asyncpg.create_pool(
        url,
        connect=cast(Any, connect),  # its stub has a name for each option
        min_size=min_size,
        max_size=max_size,
        command_timeout=30,
        timeout=5,
        max_inactive_connection_lifetime=300,
        server_settings={
            **SERVER_SETTINGS,
            "application_name": application_name,
            **(settings or {}),
        },
        reset=reset,
    )
