"""The port to an external scorer of payments (`risk_scorer_http.py`); off unless configured."""

from __future__ import annotations

from typing import Protocol

import msgspec

from domain.payments.risk import External


class Question(msgspec.Struct, frozen=True):
    """What a scorer is told: nothing that names a person. `payer`: always the same for one."""

    payment_id: str
    payer: str
    amount_minor: int
    currency: str
    method: str
    features: dict[str, int]
    policy_version: int
    at_ms: int


class RiskScorer(Protocol):
    """Somebody outside who says how risky a payment is."""

    async def ask(self, question: Question) -> External:
        """The answer, in a bounded time. Never raises: a failure is an answer too."""

    async def close(self) -> None:
        """Let go of connections."""
