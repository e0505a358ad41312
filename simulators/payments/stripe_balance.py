"""Stripe's books on one machine: a balance transaction for everything that moves money.

`GET /v1/balance_transactions` lists them as Stripe does: the newest first, by `created[gte]` and
`created[lt]`, in pages of `limit` after `starting_after`, with `expand[]=data.source`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

Json = dict[str, Any]
FEE_BPS, FEE_FIXED = 290, 30
MAX_PAGE = 100
SOURCE = "data.source"


class Balance:
    """The account's balance transactions. `now`: seconds."""

    def __init__(self, now: Callable[[], float]) -> None:
        self.transactions: list[Json] = []
        self._now = now

    def charge(self, intent: Json, amount: int) -> None:
        """Something was taken; Stripe keeps its fee of it."""
        fee = -(-amount * FEE_BPS // 10_000) + FEE_FIXED
        source = {
            "id": intent["id"].replace("pi_", "ch_"),
            "object": "charge",
            "amount": intent["amount"],
            "amount_captured": amount,
            "currency": intent["currency"],
            "payment_intent": intent["id"],
            "metadata": intent["metadata"],
        }
        self.add("charge", "charge", amount, source, fee)

    def refund(self, refund: Json) -> None:
        """Something went back. The fee of the charge does not."""
        self.add("refund", "refund", -refund["amount"], refund)

    def refund_failed(self, refund: Json) -> None:
        """It came back again."""
        self.add("refund_failure", "refund_failure", refund["amount"], refund)

    def dispute(self, dispute: Json) -> None:
        """A bank took it."""
        self.add("adjustment", "dispute", -dispute["amount"], dispute)

    def dispute_won(self, dispute: Json) -> None:
        """And gave it back."""
        self.add("adjustment", "dispute_reversal", dispute["amount"], dispute)

    def add(self, kind: str, category: str, amount: int, source: Json, fee: int = 0) -> None:
        """A balance transaction of an object of the account's."""
        self.transactions.append(
            {
                "id": f"txn_{len(self.transactions) + 1:08d}",
                "object": "balance_transaction",
                "type": kind,
                "reporting_category": category,
                "amount": amount,
                "fee": fee,
                "net": amount - fee,
                "currency": source["currency"],
                "exchange_rate": None,
                "created": int(self._now()),
                "source": source,
                "status": "available",
            }
        )

    def page(self, asked: Sequence[tuple[str, str]]) -> Json:
        """A page, as the query asks for it."""
        query = dict(asked)
        since = int(query.get("created[gte]", 0))
        until = int(query.get("created[lt]", 2**62))
        newest = [one for one in self.transactions[::-1] if since <= one["created"] < until]
        return listed(newest, query, self._expanded(query))

    def _expanded(self, query: dict[str, str]) -> Callable[[Json], Json]:
        if SOURCE in query.values():
            return lambda one: one
        return lambda one: {**one, "source": one["source"]["id"]}


def listed(found: Sequence[Json], query: dict[str, str], show: Callable[[Json], Json]) -> Json:
    """A page of a list, the newest first, as all of Stripe's lists have them."""
    limit = min(int(query.get("limit", 10)), MAX_PAGE)
    after = query.get("starting_after")
    begins = next((n + 1 for n, one in enumerate(found) if one["id"] == after), 0) if after else 0
    shown = found[begins : begins + limit]
    more = len(found) > begins + limit
    return {"object": "list", "data": [show(one) for one in shown], "has_more": more}
