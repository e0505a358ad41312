"""Payments by what operators know of them. Each statement has only the clauses that are asked for,
so that PostgreSQL plans it for the index that fits them.
"""

from __future__ import annotations

import msgspec

from storage.database import Pool
from storage.payments import COLUMNS, PaymentRow, row_of

# `{}`: the number of the parameter. All begin at an index, but for amounts, which a currency does.
CLAUSES = {
    "status": "status = {}",
    "payer_id": "payer_id = {}::text::uuid",
    "currency": "currency = {}",
    "gateway": "gateway = {}",
    "purpose": "purpose = {}",
    "subject": "subject = {} and subject <> ''",
    "ref": "payment_id in (select c.payment_id from payments.charges c where c.ref = {})",
    "least_minor": "amount_minor >= {}::text::numeric",
    "most_minor": "amount_minor <= {}::text::numeric",
    "from_ms": "created_at_ms >= {}",
    "until_ms": "created_at_ms < {}",
}


class Wanted(msgspec.Struct, frozen=True):
    """Which payments; None: any. ref: the provider's id of the charge."""

    status: str | None = None
    payer_id: str | None = None
    currency: str | None = None
    gateway: str | None = None
    purpose: str | None = None
    subject: str | None = None
    ref: str | None = None
    least_minor: int | None = None
    most_minor: int | None = None
    from_ms: int | None = None
    until_ms: int | None = None


def statement(wanted: Wanted) -> tuple[str, list[object]]:
    """The search, and its parameters from the fourth on."""
    clauses, values = [], []
    for name, clause in CLAUSES.items():
        value = getattr(wanted, name)
        if value is not None:
            values.append(str(value) if name.endswith("_minor") else value)
            clauses.append(f" and {clause.format(f'${len(values) + 3}')}")
    # The table's `payment_id`, which the index has, and not the text of it that is selected.
    text = f"""
select {COLUMNS} from payments.payments
where (created_at_ms, payment_id) < ($1, $2){"".join(clauses)}
order by created_at_ms desc, payments.payment_id desc limit $3"""  # noqa: S608 - constants
    return text, values


async def search(
    pool: Pool, wanted: Wanted, before: tuple[int, str], limit: int
) -> list[PaymentRow]:
    """Payments before a cursor, newest first."""
    text, values = statement(wanted)
    return [row_of(row) for row in await pool.fetch(text, *before, limit, *values)]
