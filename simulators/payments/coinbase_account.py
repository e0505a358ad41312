"""What a Coinbase Business account holds: checkouts, what was paid on them, refunds.

Money on a chain cannot be refused: `pay` works whatever state a checkout is in, as a transfer that
was on its way does. Refunds take a while, as they do on a chain.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

Json = dict[str, Any]
Tell = Callable[[str, Json], None]

PAID = ("COMPLETED", "PARTIALLY_REFUNDED", "REFUNDED")
AMOUNT = re.compile(r"\d+(\.\d{1,2})?")
LEAST, MOST = Decimal("0.01"), Decimal(100_000_000)
MICRO = Decimal("0.000001")
FEE = Decimal("0.01")
LASTS = timedelta(hours=1)
MAX_TEXT, MAX_URL = 500, 2_048


class CheckoutError(Exception):
    """What Coinbase answers instead."""

    def __init__(self, status: int, kind: str, message: str) -> None:
        super().__init__(message)
        self.status, self.kind, self.message = status, kind, message


def invalid(message: str) -> CheckoutError:
    """A request that makes no sense."""
    return CheckoutError(400, "invalid_request", message)


class CoinbaseAccount:
    """All of it. `tell(eventType, checkout)` sends a webhook.  `now`: seconds."""

    def __init__(self, url: str, tell: Tell, now: Callable[[], float]) -> None:
        self.checkouts: dict[str, Json] = {}
        self._url, self._tell, self._now = url, tell, now
        self._numbers = itertools.count(1)

    def find(self, number: str) -> Json:
        """A checkout as it is now; one whose time is over has expired."""
        found = self.checkouts.get(number)
        if found is None:
            raise CheckoutError(404, "not_found", "no such checkout")
        if found["status"] == "ACTIVE" and self._moment() >= found["expiresAt"]:
            self.expire(found)
        return found

    def create(self, asked: Json) -> Json:
        """A checkout that waits for its payer."""
        amount = _amount(asked)
        if asked.get("network", "base") != "base":
            raise invalid("network")
        for name in ("successRedirectUrl", "failRedirectUrl"):
            url = asked.get(name, "https://")
            if not str(url).startswith("https://") or len(url) > MAX_URL:
                raise invalid(name)
        if len(asked.get("description", "")) > MAX_TEXT:
            raise invalid("description")
        number = f"{int(self._now()):08x}{next(self._numbers):016x}"
        now = self._moment()
        kept = ("description", "metadata", "successRedirectUrl", "failRedirectUrl")
        checkout = {
            "id": number,
            "url": f"{self._url}/payment-links/pl_{number}",
            "amount": str(amount),
            "currency": "USDC",
            "network": "base",
            "address": "0x742d35Cc6634C0532925a3b844Bc454e4438f44e",
            "status": "ACTIVE",
            "expiresAt": asked.get("expiresAt") or self._moment(LASTS),
            "createdAt": now,
            "updatedAt": now,
            **{name: asked[name] for name in kept if name in asked},
        }
        self.checkouts[number] = checkout
        return checkout

    def pay(self, checkout: Json, amount: Decimal) -> None:
        """So much arrives, asked for or not."""
        fee = (amount * FEE).quantize(MICRO)
        checkout["settlement"] = {
            "totalAmount": str(amount),
            "feeAmount": str(fee),
            "netAmount": str(amount - fee),
            "currency": "USDC",
        }
        checkout["transactionHash"] = f"0x{next(self._numbers):064x}"
        self._move(checkout, "COMPLETED", "checkout.payment.success")

    def detect(self, checkout: Json) -> None:
        """A transfer was seen, and is not final."""
        self._move(checkout, "PROCESSING")

    def fail(self, checkout: Json) -> None:
        """The transfer came to nothing."""
        self._move(checkout, "FAILED", "checkout.payment.failed")

    def expire(self, checkout: Json) -> None:
        """The payer's time is over."""
        self._move(checkout, "EXPIRED", "checkout.payment.expired")

    def deactivate(self, checkout: Json) -> Json:
        """The merchant does not want it any more."""
        if checkout["status"] != "ACTIVE":
            raise invalid(f"checkout is {checkout['status']}")
        self._move(checkout, "DEACTIVATED")
        return checkout

    def refund(self, checkout: Json, asked: Json) -> Json:
        """Begin to give back."""
        amount = _amount(asked)
        if checkout["status"] not in PAID or amount > self.left(checkout):
            raise invalid("more than is left, or nothing was paid")
        if len(asked.get("reason", "")) > MAX_TEXT:
            raise invalid("reason")
        refund = {
            "id": f"{int(self._now()):08x}{next(self._numbers):016x}",
            "checkoutId": checkout["id"],
            "amount": str(amount),
            "currency": "USDC",
            "status": "PENDING",
            "reason": asked.get("reason", ""),
            "createdAt": self._moment(),
        }
        checkout.setdefault("refunds", []).append(refund)
        checkout["updatedAt"] = refund["createdAt"]
        return refund

    def end_refund(self, checkout: Json, refund: Json, *, well: bool) -> None:
        """A refund is final on the chain, or will never be."""
        if refund["status"] != "PENDING":
            return
        refund["completedAt"] = self._moment()
        refund["status"] = "COMPLETED" if well else "FAILED"
        back = _sum(checkout, "COMPLETED")
        checkout["refundedAmount"] = str(back)
        total = Decimal(checkout["settlement"]["totalAmount"])
        status = "COMPLETED" if not back else "REFUNDED" if back == total else "PARTIALLY_REFUNDED"
        self._move(checkout, status, f"checkout.refund.{'success' if well else 'failed'}")

    def left(self, checkout: Json) -> Decimal:
        """What was paid and is not on its way back."""
        total = Decimal(checkout["settlement"]["totalAmount"])
        return total - _sum(checkout, "COMPLETED") - _sum(checkout, "PENDING")

    def _move(self, checkout: Json, status: str, event: str = "") -> None:
        checkout["status"] = status
        checkout["updatedAt"] = self._moment()
        if event:
            self._tell(event, checkout)

    def _moment(self, after: timedelta = timedelta(0)) -> str:
        moment = datetime.fromtimestamp(self._now(), UTC) + after
        return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _amount(asked: Json) -> Decimal:
    text = asked.get("amount")
    if not isinstance(text, str) or not AMOUNT.fullmatch(text):
        raise invalid("amount")
    if asked.get("currency", "USDC") != "USDC":
        raise invalid("currency")
    if not LEAST <= Decimal(text) <= MOST:
        raise invalid("amount")
    return Decimal(text)


def _sum(checkout: Json, status: str) -> Decimal:
    amounts = (
        Decimal(one["amount"]) for one in checkout.get("refunds", []) if one["status"] == status
    )
    return sum(amounts, Decimal(0))
