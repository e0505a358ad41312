"""What moves in the ledger when tokens are bought or returned."""

from __future__ import annotations

from domain.drops.state import Drop, Reservation
from messages.drops.accounts import (
    PURPOSE_BURN,
    PURPOSE_MINT,
    PURPOSE_PURCHASE,
    PURPOSE_RETURN,
    available,
    fees,
    minted,
    token_currency,
)
from messages.keys import derive_key
from messages.ledger import LedgerTransaction, Posting, transfer


def paid(drop: Drop, reservation_id: str, kept: Reservation) -> tuple[LedgerTransaction, ...]:
    """From the buyer to the artist and the platform; nothing where the tokens are free."""
    if not kept.total_minor:
        return ()
    key = derive_key("drop-purchase", drop.drop_id, reservation_id)
    lines = _lines(drop, kept, 1)
    return (LedgerTransaction(key, _cause(reservation_id), PURPOSE_PURCHASE, lines),)


def undone(drop: Drop, reservation_id: str, kept: Reservation) -> tuple[LedgerTransaction, ...]:
    """All of it back, and the tokens to where they came from."""
    burned = transfer(
        derive_key("drop-burn", drop.drop_id, reservation_id),
        available(kept.buyer_id, token_currency(drop.drop_id)),
        minted(drop.drop_id),
        kept.count,
        cause=_cause(reservation_id),
        purpose=PURPOSE_BURN,
    )
    if not kept.total_minor:
        return (burned,)
    key = derive_key("drop-return", drop.drop_id, reservation_id)
    lines = _lines(drop, kept, -1)
    return LedgerTransaction(key, _cause(reservation_id), PURPOSE_RETURN, lines), burned


def _lines(drop: Drop, kept: Reservation, sign: int) -> tuple[Posting, ...]:
    """The cash of a purchase (1), or of its return (-1)."""
    currency = drop.asked.currency
    moves = {
        available(kept.buyer_id, currency): -kept.total_minor,
        available(drop.asked.artist_user_id, currency): kept.total_minor - kept.fee_minor,
        fees(currency): kept.fee_minor,
    }
    return tuple(Posting(code, sign * amount) for code, amount in moves.items() if amount)


def mint(drop: Drop, reservation_id: str, kept: Reservation) -> LedgerTransaction:
    """Tokens that did not exist before, to their buyer."""
    return transfer(
        derive_key("drop-mint", drop.drop_id, reservation_id),
        minted(drop.drop_id),
        available(kept.buyer_id, token_currency(drop.drop_id)),
        kept.count,
        cause=_cause(reservation_id),
        purpose=PURPOSE_MINT,
    )


def _cause(reservation_id: str) -> str:
    return f"drop-reservation:{reservation_id}"
