"""Every statement about factors and wallets compiles against the migrated tables."""

from __future__ import annotations

import pytest

from storage import users_factors, users_passkeys, users_pending, users_wallets
from storage.database import Pool

VERBS = ("select", "insert", "update", "delete")


@pytest.mark.parametrize("module", [users_factors, users_passkeys, users_pending, users_wallets])
async def test_every_statement_compiles(pool: Pool, module: object) -> None:
    constants = [each for each in vars(module).values() if isinstance(each, str | tuple)]
    statements = [
        text
        for each in constants
        for text in (each if isinstance(each, tuple) else (each,))
        if isinstance(text, str) and text.lstrip().startswith(VERBS)
    ]
    assert len(statements) >= 4
    async with pool.acquire() as connection:
        for statement in statements:
            await connection.prepare(statement)
