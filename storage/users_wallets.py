"""Users' wallets and the challenges that link them, in PostgreSQL.

Whoever changes something here holds the user's lock (`storage/users_events.py`).
"""

from __future__ import annotations

from typing import Any

import asyncpg
import msgspec

from messages.users_wallets import WalletKind, WalletTaken
from storage.database import Connection, Pool

PURGE_ROWS = 4  # expired challenges that leave with each new one

_COLUMNS = "wallet_id::text, kind, address, name, linked_at_ms"
_LINK = """
insert into users.wallets (wallet_id, user_id, kind, address, name, linked_at_ms)
values ($1, $2, $3, $4, $5, $6)"""
_LIST = f"""
select {_COLUMNS} from users.wallets where user_id = $1
order by linked_at_ms, wallet_id"""  # noqa: S608 - a constant
_UNLINK = "delete from users.wallets where user_id = $1 and wallet_id = $2 returning kind"
_PURGE = """
delete from users.wallet_challenges where challenge_id in (
    select challenge_id from users.wallet_challenges where expires_at_ms <= $1
    order by expires_at_ms limit $2 for update skip locked)"""
_MAKE_ROOM = """
delete from users.wallet_challenges where challenge_id in (
    select challenge_id from users.wallet_challenges where user_id = $1
    order by expires_at_ms desc, challenge_id offset $2)"""
_ASK = """
insert into users.wallet_challenges
    (challenge_id, user_id, kind, address, message, expires_at_ms)
values ($1, $2, $3, $4, $5, $6)"""
_TAKE = """
delete from users.wallet_challenges
where challenge_id = $1 and user_id = $2 and expires_at_ms > $3
returning kind, address, message"""
_ERASE = (
    "delete from users.wallets where user_id = $1",
    "delete from users.wallet_challenges where user_id = $1",
)


class Wallet(msgspec.Struct, frozen=True):
    """A linked wallet, its address in normal form."""

    wallet_id: str
    kind: WalletKind
    address: str
    name: str
    linked_at_ms: int


class Asked(msgspec.Struct, frozen=True):
    """A challenge: which address is to sign which message."""

    kind: WalletKind
    address: str
    message: str


async def link(connection: Connection, user_id: str, wallet: Wallet) -> None:
    """Link a wallet. Raises WalletTaken if anybody has it."""
    w = wallet
    row = (w.wallet_id, user_id, w.kind.value, w.address, w.name, w.linked_at_ms)
    try:
        await connection.execute(_LINK, *row)
    except asyncpg.UniqueViolationError:
        raise WalletTaken from None


async def list_wallets(connection: Connection | Pool, user_id: str) -> list[Wallet]:
    """A user's wallets, oldest first."""
    rows = await connection.fetch(_LIST, user_id)
    return [Wallet(**{**row, "kind": WalletKind(row["kind"])}) for row in rows]


async def unlink(connection: Connection, user_id: str, wallet_id: str) -> WalletKind | None:
    """The user has that wallet no more; its kind, or None if there was none."""
    kind = await connection.fetchval(_UNLINK, user_id, wallet_id)
    return None if kind is None else WalletKind(kind)


async def ask(
    connection: Connection,
    user_id: str,
    challenge_id: str,
    asked: Asked,
    *,
    now_ms: int,
    expires_at_ms: int,
    at_most: int,
) -> None:
    """Keep a challenge of a user's, and no more than `at_most` of them: the oldest goes."""
    await connection.execute(_PURGE, now_ms, PURGE_ROWS)
    await connection.execute(_MAKE_ROOM, user_id, at_most - 1)
    await connection.execute(
        _ASK, challenge_id, user_id, asked.kind.value, asked.address, asked.message, expires_at_ms
    )


async def take(
    connection: Connection, user_id: str, challenge_id: str, now_ms: int
) -> Asked | None:
    """The user's challenge, for the first who takes it."""
    row = await connection.fetchrow(_TAKE, challenge_id, user_id, now_ms)
    return None if row is None else Asked(WalletKind(row["kind"]), row["address"], row["message"])


async def erase(connection: Connection, user_id: str) -> None:
    """Remove all wallets of a user, for good."""
    for statement in _ERASE:
        await connection.execute(statement, user_id)


async def export(connection: Connection | Pool, user_id: str) -> list[dict[str, Any]]:
    """What is kept about the user here."""
    found = await list_wallets(connection, user_id)
    return [msgspec.structs.asdict(wallet) for wallet in found]
