"""Where a payout's money is, as a function of its state; a change moves the difference.

As with payments (`domain/payments/position.py`) the ledger is derived: whatever news comes, in
whatever order, the clearing account of the provider is what is known of the provider's record.
"""

from __future__ import annotations

from domain.payouts.state import Payout
from messages.keys import derive_key
from messages.ledger import LedgerTransaction, Posting
from messages.payments.accounts import available, clearing, fees, paying_out, receivable
from messages.payments.gateways import GatewayName
from messages.payments.payouts import PayoutStatus

PURPOSE = "payout"
UNDER_WAY = frozenset({PayoutStatus.REQUESTED, PayoutStatus.ON_HOLD, PayoutStatus.SENDING})


def fee_minor(payout: Payout) -> int:
    """What the provider kept for it."""
    return payout.seen.fee_minor if payout.seen else 0


def owed_minor(payout: Payout) -> int:
    """What was paid after all, when the balance had the money back: a person has to look."""
    given_up = payout.status is not PayoutStatus.PAID and payout.status not in UNDER_WAY
    return payout.asked.amount_minor if payout.asked and given_up and payout.is_out else 0


def position(payout: Payout) -> dict[str, int]:
    """The balance that each account has from this payout; they sum to zero."""
    asked = payout.asked
    if asked is None:
        return {}
    gateway, currency = GatewayName(payout.provider.value), asked.currency
    held = payout.status in UNDER_WAY
    out = asked.amount_minor if payout.is_out else 0
    charged = payout.charged_minor if payout.is_out else 0
    fee, owed = fee_minor(payout), owed_minor(payout)
    spent = asked.amount_minor if held or (out and not owed) else 0
    return {
        available(asked.user_id, currency): -spent,
        paying_out(asked.user_id, currency): asked.amount_minor if held else 0,
        clearing(gateway, currency): out - charged + fee,
        fees(gateway, currency): charged - fee,
        receivable(payout.payout_id, currency): -owed,
    }


def movement(before: Payout, after: Payout) -> LedgerTransaction | None:
    """The ledger transaction from where the money was to where it is; None if it did not move."""
    old, new = position(before), position(after)
    lines = tuple(
        Posting(code, new[code] - old.get(code, 0))
        for code in sorted(new)
        if new[code] != old.get(code, 0)
    )
    if not lines:
        return None
    key = derive_key("payout-move", after.payout_id, before.moves)
    return LedgerTransaction(key, f"payout:{after.payout_id}", PURPOSE, lines)
