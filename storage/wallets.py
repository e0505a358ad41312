"""What users have and owe, read from the ledger."""

from __future__ import annotations

from storage.database import Connection

# What a payment's provider gave back to the payer without being asked by us: see
# `messages/payments/accounts.py: receivable`. Only payments of which anything went back can owe.
OWED = """
select p.currency, (-sum(a.balance))::text as owed
from payments.payments p
join ledger.accounts a
    on a.code = 'outside:' || p.payment_id || ':receivable/' || p.currency
where p.payer_id = $1 and p.returned_minor > 0
group by p.currency"""


async def owed(connection: Connection, user_id: str) -> dict[str, int]:
    """What a user owes, by currency, in minor units; nothing where nothing is owed."""
    rows = await connection.fetch(OWED, user_id)
    return {row["currency"]: int(row["owed"]) for row in rows if row["owed"] != "0"}
