"""Orders of the stand-in of PayPal: approved by their payer, held, taken, given back."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from simulators.payments.serving import Json

FEE_SHARE, FEE_FIXED = Decimal("0.0349"), Decimal("0.49")
CENT = Decimal("0.01")
HOLDS_S = 29 * 86_400

Tell = Callable[[str, str, Json], None]


class PayPalError(Exception):
    """What PayPal answers instead."""

    def __init__(self, status: int, name: str, issue: str = "", **more: Any) -> None:
        super().__init__(issue or name)
        self.status = status
        details = [{"issue": issue, "description": issue}] if issue else []
        self.body = {"name": name, "message": name, "details": details, **more}


def unprocessable(issue: str) -> PayPalError:
    """422: understood and refused."""
    return PayPalError(422, "UNPROCESSABLE_ENTITY", issue)


class Orders:
    """All orders of an account. `book(code, id, reference, amount, thing)` enters what moved."""

    def __init__(
        self,
        url: str,
        new_id: Callable[[], str],
        now: Callable[[], float],
        tell: Tell,
        book: Callable[[str, str, str, Decimal, Json], None],
    ) -> None:
        self.orders: dict[str, Json] = {}
        self.of_capture: dict[str, Json] = {}
        self.of_authorization: dict[str, Json] = {}
        self.withheld: Callable[[Json], Decimal] = lambda _capture: Decimal(0)
        self._url, self._new_id, self._now = url, new_id, now
        self._tell, self._book = tell, book

    def at(self) -> str:
        """Now, as PayPal writes it."""
        return written(self._now())

    def order(self, number: str) -> Json:
        """Raises PayPalError."""
        return _found(self.orders, number)

    def create(self, asked: Json) -> Json:
        """`POST /v2/checkout/orders`."""
        (unit,) = asked["purchase_units"]
        if Decimal(unit["amount"]["value"]) <= 0:
            raise unprocessable("CANNOT_BE_ZERO_OR_NEGATIVE")
        number = self._new_id()
        context = asked.get("payment_source", {}).get("paypal", {}).get("experience_context", {})
        order = {
            "id": number,
            "intent": asked["intent"],
            "status": "PAYER_ACTION_REQUIRED",
            "create_time": self.at(),
            "payment_source": {"paypal": {}},
            "purchase_units": [{"reference_id": "default", **unit, "payments": {}}],
            "links": [
                {"rel": "self", "href": f"{self._url}/v2/checkout/orders/{number}"},
                {"rel": "payer-action", "href": f"{self._url}/checkoutnow?token={number}"},
            ],
            "_context": context,
            "_funding": "",
        }
        self.orders[number] = order
        return order

    def approve(self, order: Json, funding: str = "") -> None:
        """The payer says yes. `funding`: declined, action or echeck, for what comes of it."""
        if order["status"] != "PAYER_ACTION_REQUIRED":
            return
        order["_funding"] = funding
        self._move(order, "APPROVED")
        self._tell("CHECKOUT.ORDER.APPROVED", "checkout-order", order)

    def authorize(self, number: str, _asked: Json) -> Json:
        """`POST …/{id}/authorize`."""
        order = self._approved(number, "AUTHORIZE", "ORDER_ALREADY_AUTHORIZED")
        unit = order["purchase_units"][0]
        held = {**self._named(unit), "amount": unit["amount"], "status": "CREATED"}
        held["expiration_time"] = written(self._now() + HOLDS_S)
        self.of_authorization[held["id"]] = order
        unit["payments"]["authorizations"] = [held]
        self._move(order, "COMPLETED")
        self._tell("PAYMENT.AUTHORIZATION.CREATED", "authorization", self.related(order, held))
        return order

    def capture(self, number: str, _asked: Json) -> Json:
        """`POST …/{id}/capture`."""
        order = self._approved(number, "CAPTURE", "ORDER_ALREADY_CAPTURED")
        self._take(order, order["purchase_units"][0]["amount"])
        return order

    def capture_held(self, number: str, asked: Json) -> Json:
        """`POST /v2/payments/authorizations/{id}/capture`."""
        order = _found(self.of_authorization, number)
        held = _one(order, "authorizations", number)
        if held["status"] != "CREATED":
            raise unprocessable(
                "AUTHORIZATION_VOIDED"
                if held["status"] == "VOIDED"
                else "AUTHORIZATION_ALREADY_CAPTURED"
            )
        amount = asked.get("amount") or held["amount"]
        if Decimal(amount["value"]) > Decimal(held["amount"]["value"]):
            raise unprocessable("MAX_CAPTURE_AMOUNT_EXCEEDED")
        partly = Decimal(amount["value"]) < Decimal(held["amount"]["value"])
        held["status"] = "PARTIALLY_CAPTURED" if partly else "CAPTURED"
        held["update_time"] = self.at()
        return self._take(order, amount)

    def void(self, number: str, _asked: Json) -> Json:
        """`POST /v2/payments/authorizations/{id}/void`."""
        order = _found(self.of_authorization, number)
        held = _one(order, "authorizations", number)
        if held["status"] != "CREATED":
            voided = held["status"] == "VOIDED"
            raise unprocessable("PREVIOUSLY_VOIDED" if voided else "PREVIOUSLY_CAPTURED")
        held["status"], held["update_time"] = "VOIDED", self.at()
        self._tell("PAYMENT.AUTHORIZATION.VOIDED", "authorization", self.related(order, held))
        return held

    def refund(self, number: str, asked: Json) -> Json:
        """`POST /v2/payments/captures/{id}/refund`, asked for by us or in PayPal's own pages."""
        order = _found(self.of_capture, number)
        taken = _one(order, "captures", number)
        amount = Decimal(asked["amount"]["value"]) if asked.get("amount") else self.left(order)
        if taken["status"] == "REFUNDED":
            raise unprocessable("CAPTURE_FULLY_REFUNDED")
        if amount > self.left(order):
            raise unprocessable("REFUND_AMOUNT_EXCEEDED")
        back: Json = {
            **self._named(order["purchase_units"][0]),
            **{name: asked[name] for name in ("invoice_id", "custom_id") if name in asked},
            "amount": {**taken["amount"], "value": str(amount.quantize(CENT))},
            "status": "COMPLETED",
            "links": [{"rel": "up", "href": f"{self._url}/v2/payments/captures/{number}"}],
        }
        order["purchase_units"][0]["payments"].setdefault("refunds", []).append(back)
        whole = _sum(order, "refunds") >= Decimal(taken["amount"]["value"])
        taken["status"] = "REFUNDED" if whole else "PARTIALLY_REFUNDED"
        taken["update_time"] = self.at()
        self._book("T1107", back["id"], number, -amount, back)
        self._tell("PAYMENT.CAPTURE.REFUNDED", "refund", back)
        return back

    def settle(self, order: Json, cleared: bool) -> None:
        """An eCheck clears, or bounces."""
        for taken in order["purchase_units"][0]["payments"].get("captures", []):
            if taken["status"] == "PENDING":
                taken["status"] = "COMPLETED" if cleared else "DECLINED"
                taken["update_time"] = self.at()
                self._taken(order, taken)

    def left(self, order: Json) -> Decimal:
        """What was taken and neither given back nor withheld."""
        found: list[Json] = order["purchase_units"][0]["payments"].get("captures", [])
        kept = sum((Decimal(c["amount"]["value"]) - self.withheld(c) for c in found), Decimal(0))
        return kept - _sum(order, "refunds")

    def related(self, order: Json, thing: Json) -> Json:
        """A capture or an authorization as it is shown by itself."""
        return {**thing, "supplementary_data": {"related_ids": {"order_id": order["id"]}}}

    def _approved(self, number: str, intent: str, done: str) -> Json:
        order = self.order(number)
        if order["intent"] != intent:
            raise unprocessable("ACTION_DOES_NOT_MATCH_INTENT")
        if order["status"] == "COMPLETED":
            raise unprocessable(done)
        if order["status"] != "APPROVED":
            raise unprocessable("ORDER_NOT_APPROVED")
        if order["_funding"] == "declined":
            raise unprocessable("INSTRUMENT_DECLINED")
        if order["_funding"] == "action":
            self._move(order, "PAYER_ACTION_REQUIRED")
            raise unprocessable("PAYER_ACTION_REQUIRED")
        return order

    def _take(self, order: Json, amount: Json) -> Json:
        unit = order["purchase_units"][0]
        taken = {**self._named(unit), "amount": amount, "final_capture": True}
        taken["status"] = "PENDING" if order["_funding"] == "echeck" else "COMPLETED"
        self.of_capture[taken["id"]] = order
        unit["payments"]["captures"] = [taken]
        self._move(order, "COMPLETED")
        self._taken(order, taken)
        return taken

    def _taken(self, order: Json, taken: Json) -> None:
        kinds = {"COMPLETED": "COMPLETED", "PENDING": "PENDING", "DECLINED": "DENIED"}
        if taken["status"] == "COMPLETED":
            amount = Decimal(taken["amount"]["value"])
            self._book("T0006", taken["id"], order["id"], amount, taken)
        kind = f"PAYMENT.CAPTURE.{kinds[taken['status']]}"
        self._tell(kind, "capture", self.related(order, taken))

    def _named(self, unit: Json) -> Json:
        """What each part of an order begins with."""
        return {
            "id": self._new_id(),
            "create_time": self.at(),
            "update_time": self.at(),
            "custom_id": unit.get("custom_id", ""),
            "invoice_id": unit.get("invoice_id", ""),
        }

    def _move(self, order: Json, status: str) -> None:
        order["status"], order["update_time"] = status, self.at()


def shown(thing: Json) -> Json:
    """Without what only the stand-in knows."""
    return {name: value for name, value in thing.items() if not name.startswith("_")}


def fee(amount: Decimal) -> Decimal:
    """What PayPal keeps of a capture."""
    return (amount * FEE_SHARE + FEE_FIXED).quantize(CENT)


def written(moment_s: float) -> str:
    """A moment, as PayPal writes it."""
    return datetime.fromtimestamp(int(moment_s), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _found(things: dict[str, Json], number: str) -> Json:
    if number not in things:
        raise PayPalError(404, "RESOURCE_NOT_FOUND", "INVALID_RESOURCE_ID")
    return things[number]


def _one(order: Json, kind: str, number: str) -> Json:
    return next(one for one in order["purchase_units"][0]["payments"][kind] if one["id"] == number)


def _sum(order: Json, kind: str) -> Decimal:
    found = order["purchase_units"][0]["payments"].get(kind, [])
    return sum((Decimal(one["amount"]["value"]) for one in found), Decimal(0))
