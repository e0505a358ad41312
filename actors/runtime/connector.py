"""A lane's own connection, made anew when it breaks."""

from __future__ import annotations

from contextlib import suppress

import asyncpg

from storage.database import Connection, Pool

# Plans live as long as their connection: one made while a table was small would scan it for ever.
PREPARE = "set enable_seqscan = off"
CONNECT_S = 5.0


class Connector:
    """Holds one connection of the pool for as long as it is sound."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._held: asyncpg.pool.PoolConnectionProxy[asyncpg.Record] | None = None

    async def get(self) -> Connection:
        """The connection. Raises one of CONNECTION_ERRORS if there can be none."""
        if not self._is_sound():
            await self.drop()
            self._held = await self._pool.acquire(timeout=CONNECT_S)
            await self._held.execute(PREPARE)
        assert self._held is not None
        return self._held

    async def drop_if_broken(self, error: Exception) -> None:
        """Drop it unless the server itself answered, and stays connected."""
        if not (self._is_sound() and isinstance(error, asyncpg.PostgresError)):
            await self.drop()

    async def drop(self) -> None:
        """Close it, whatever state it is in."""
        held, self._held = self._held, None
        if held is not None:
            with suppress(Exception):
                held.terminate()
            with suppress(Exception):
                await self._pool.release(held)

    def _is_sound(self) -> bool:
        try:
            return self._held is not None and not self._held.is_closed()
        except asyncpg.InterfaceError:  # the pool has taken a broken one back
            return False
