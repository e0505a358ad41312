"""What is read of payments; `payments_projection.py` writes it in the transaction of the facts."""

from __future__ import annotations

import msgspec

from messages.payments.gateways import GatewayName
from messages.payments.payments import PaymentStatus
from storage.database import Connection, Pool

COLUMNS = """
    payment_id::text, payer_id::text, purpose, status, amount_minor::text, currency, method,
    gateway, received_minor::text, returned_minor::text, subject, failure, verdict, score, reasons,
    created_at_ms, changed_at_ms"""
OF_PAYER = f"""
select {COLUMNS} from payments.payments
where payer_id = $1 and (created_at_ms, payment_id) < ($2, $3)
order by created_at_ms desc, payments.payment_id desc limit $4"""  # noqa: S608 - constants
FIND = f"select {COLUMNS} from payments.payments where payment_id = $1"  # noqa: S608
FIND_CHARGE = "select payment_id::text from payments.charges where gateway = $1 and ref = $2"
TRANSITIONS = """
select number, status_before, status, received_minor::text, returned_minor::text, failure, at_ms
from payments.transitions where payment_id = $1 order by number"""
OF_USER = "select true from payments.payments where payment_id = $1 and payer_id = $2"


class PaymentRow(msgspec.Struct, frozen=True):
    """A payment as its last fact left it."""

    payment_id: str
    payer_id: str
    purpose: str
    status: PaymentStatus
    amount_minor: int
    currency: str
    method: str
    gateway: GatewayName
    received_minor: int
    returned_minor: int
    subject: str
    failure: str
    verdict: str
    score: int
    reasons: list[str]
    created_at_ms: int
    changed_at_ms: int


class Transition(msgspec.Struct, frozen=True):
    """A move of a payment."""

    number: int
    status_before: PaymentStatus
    status: PaymentStatus
    received_minor: int
    returned_minor: int
    failure: str
    at_ms: int


async def of_payer(
    pool: Pool, payer_id: str, before: tuple[int, str], limit: int
) -> list[PaymentRow]:
    """A payer's payments before a cursor, newest first."""
    return [row_of(row) for row in await pool.fetch(OF_PAYER, payer_id, *before, limit)]


async def find(pool: Pool, payment_id: str) -> PaymentRow | None:
    """A payment as its last fact left it."""
    row = await pool.fetchrow(FIND, payment_id)
    return row_of(row) if row else None


async def find_charge(connection: Connection | Pool, gateway: GatewayName, ref: str) -> str | None:
    """The payment that a provider's charge belongs to."""
    found: str | None = await connection.fetchval(FIND_CHARGE, gateway.value, ref)
    return found


async def transitions(pool: Pool, payment_id: str) -> list[Transition]:
    """All moves of a payment, in order."""
    rows = await pool.fetch(TRANSITIONS, payment_id)
    return [msgspec.convert(dict(row), Transition, strict=False) for row in rows]


async def is_payers(pool: Pool, payment_id: str, user_id: str) -> bool:
    """Whether there is such a payment of that payer's."""
    return bool(await pool.fetchval(OF_USER, payment_id, user_id))


def row_of(row: object) -> PaymentRow:
    """A row of COLUMNS."""
    return msgspec.convert(dict(row), PaymentRow, strict=False)  # type: ignore[call-overload]
