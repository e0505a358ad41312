"""Changes of saved methods, each with its fact and its entry in the audit log."""

from __future__ import annotations

from messages.payments.saved_methods import (
    PaymentMethodRemoved,
    PaymentMethodSaved,
    SavedCard,
)
from storage import audit, users_events
from storage import saved_methods as storage
from storage.database import Connection, Pool
from storage.saved_methods import SavedMethod


async def save(pool: Pool, method: SavedMethod, card: SavedCard, at_ms: int) -> bool:
    """A card is saved; False if that was known, or its user has gone."""
    async with pool.acquire() as connection, connection.transaction():
        await users_events.lock(connection, method.user_id)
        if not await storage.activate(connection, method.method_id, card):
            return False
        fact = PaymentMethodSaved(method.user_id, method.method_id, at_ms)
        await _tell(connection, fact, "payment-method.saved")
    return True


async def remove(pool: Pool, method: SavedMethod, at_ms: int) -> None:
    """A method is its user's no longer, and the provider is to forget it."""
    async with pool.acquire() as connection, connection.transaction():
        await users_events.lock(connection, method.user_id)
        present = await storage.find(connection, method.method_id, method.user_id)
        if present is None:
            return
        await storage.remove(connection, present)
        fact = PaymentMethodRemoved(method.user_id, method.method_id, at_ms)
        await _tell(connection, fact, "payment-method.removed")


async def prefer(pool: Pool, method: SavedMethod) -> None:
    """A method is its user's default."""
    async with pool.acquire() as connection, connection.transaction():
        await users_events.lock(connection, method.user_id)
        await storage.make_default(connection, method.user_id, method.method_id)


async def drop(pool: Pool, method: SavedMethod) -> None:
    """A card that was never saved is not waited for any more."""
    async with pool.acquire() as connection, connection.transaction():
        await users_events.lock(connection, method.user_id)
        present = await storage.find(connection, method.method_id, method.user_id)
        if present is not None and present.status == "pending":
            await storage.remove(connection, present)


async def _tell(
    connection: Connection, fact: PaymentMethodSaved | PaymentMethodRemoved, action: str
) -> None:
    await users_events.tell(connection, fact.user_id, [fact], fact.at_ms)
    await audit.record(
        connection,
        action,
        actor=fact.user_id,
        subject=f"payment-method:{fact.method_id}",
        at_ms=fact.at_ms,
    )
