"""What moves in the ledger when money is invested, given back, or handed to the artist."""

from __future__ import annotations

from domain.ventures.state import Investment, Venture
from messages.keys import derive_key
from messages.ledger import LedgerTransaction, Posting, transfer
from messages.ventures.accounts import (
    PURPOSE_INVESTMENT,
    PURPOSE_PAYOUT,
    available,
    escrow,
    fees,
)
from messages.ventures.ventures import Invest


def invest(venture: Venture, command: Invest) -> LedgerTransaction:
    """From the investor's balance into escrow."""
    currency = venture.asked.currency
    return transfer(
        derive_key("venture-investment", venture.venture_id, command.investment_id),
        available(command.investor_id, currency),
        escrow(venture.venture_id, currency),
        command.amount_minor,
        cause=_cause(command.investment_id),
        purpose=PURPOSE_INVESTMENT,
    )


def give_back(
    venture: Venture, investment_id: str, one: Investment, purpose: str
) -> LedgerTransaction:
    """Out of escrow to the investor's balance: once, for whatever reason."""
    currency = venture.asked.currency
    return transfer(
        derive_key("venture-return", venture.venture_id, investment_id),
        escrow(venture.venture_id, currency),
        available(one.investor_id, currency),
        one.amount_minor,
        cause=_cause(investment_id),
        purpose=purpose,
    )


def fund(venture: Venture, fee_minor: int) -> LedgerTransaction:
    """All of the escrow to the artist and the platform."""
    currency, raised = venture.asked.currency, venture.escrow_minor
    moves = {
        escrow(venture.venture_id, currency): -raised,
        available(venture.asked.artist_user_id, currency): raised - fee_minor,
        fees(currency): fee_minor,
    }
    return LedgerTransaction(
        derive_key("venture-funded", venture.venture_id),
        f"venture:{venture.venture_id}",
        PURPOSE_PAYOUT,
        tuple(Posting(code, amount) for code, amount in moves.items() if amount),
    )


def _cause(investment_id: str) -> str:
    return f"venture-investment:{investment_id}"
