"""What else an account at the stand-in of PayPal has: disputes, payouts, its books."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal

from simulators.payments.paypal_orders import CENT, Orders, PayPalError, Tell, fee
from simulators.payments.serving import Json

MAX_RANGE = timedelta(days=31)
PAYOUT_FEE = Decimal("0.25")
WITHHELD = {"RESOLVED_BUYER_FAVOUR", ""}


class Disputes:
    """Payers who complain."""

    def __init__(self, orders: Orders, new_id: Callable[[], str], tell: Tell, books: Books) -> None:
        self.known: dict[str, Json] = {}
        self._orders, self._new_id, self._tell, self._books = orders, new_id, tell, books
        orders.withheld = self._withheld

    def open(self, order: Json) -> Json:
        """A claim: PayPal takes back what is left of a payment."""
        (taken,) = order["purchase_units"][0]["payments"]["captures"]
        amount = self._orders.left(order)
        dispute: Json = {
            "dispute_id": f"PP-D-{self._new_id()}",
            "create_time": self._orders.at(),
            "update_time": self._orders.at(),
            "reason": "UNAUTHORISED",
            "status": "WAITING_FOR_SELLER_RESPONSE",
            "dispute_state": "REQUIRED_ACTION",
            "dispute_life_cycle_stage": "CHARGEBACK",
            "dispute_amount": {**taken["amount"], "value": str(amount.quantize(CENT))},
            "disputed_transactions": [
                {
                    "seller_transaction_id": taken["id"],
                    "custom": taken["custom_id"],
                    "invoice_number": taken["invoice_id"],
                    "gross_amount": taken["amount"],
                }
            ],
        }
        self.known[dispute["dispute_id"]] = dispute
        self._books.enter("T1201", self._new_id(), taken["id"], -amount, taken)
        self._tell("CUSTOMER.DISPUTE.CREATED", "dispute", dispute)
        return dispute

    def close(self, order: Json, won: bool) -> None:
        """The end of all disputes of an order."""
        for one in self._of(order):
            one["dispute_outcome"] = {
                "outcome_code": "RESOLVED_SELLER_FAVOUR" if won else "RESOLVED_BUYER_FAVOUR"
            }
            one["status"] = one["dispute_state"] = "RESOLVED"
            one["update_time"] = self._orders.at()
            if won:
                (taken,) = order["purchase_units"][0]["payments"]["captures"]
                amount = Decimal(one["dispute_amount"]["value"])
                self._books.enter("T1202", self._new_id(), taken["id"], amount, taken)
            self._tell("CUSTOMER.DISPUTE.RESOLVED", "dispute", one)

    def search(self, capture_id: str) -> Json:
        """`GET /v1/customer/disputes`: less of each than the dispute itself shows."""
        hidden = {"disputed_transactions", "dispute_outcome"}
        found = [d for d in self.known.values() if _transaction(d) == capture_id]
        return {"items": [{k: v for k, v in d.items() if k not in hidden} for d in found]}

    def one(self, number: str) -> Json:
        """Raises PayPalError."""
        if number not in self.known:
            raise PayPalError(404, "RESOURCE_NOT_FOUND")
        return self.known[number]

    def _of(self, order: Json) -> list[Json]:
        taken = {c["id"] for c in order["purchase_units"][0]["payments"].get("captures", [])}
        return [d for d in self.known.values() if _transaction(d) in taken]

    def _withheld(self, capture: Json) -> Decimal:
        mine = [d for d in self.known.values() if _transaction(d) == capture["id"]]
        kept = [
            Decimal(d["dispute_amount"]["value"])
            for d in mine
            if d.get("dispute_outcome", {}).get("outcome_code", "") in WITHHELD
        ]
        return sum(kept, Decimal(0))


class Payouts:
    """Money sent. Whom it goes to decides what comes of it: `unclaimed@…`, `failed@…`."""

    def __init__(
        self, url: str, new_id: Callable[[], str], at: Callable[[], str], books: Books
    ) -> None:
        self.batches: dict[str, Json] = {}
        self._url, self._new_id, self._at, self._books = url, new_id, at, books

    def create(self, asked: Json) -> Json:
        """`POST /v1/payments/payouts`. Raises PayPalError."""
        header = asked["sender_batch_header"]
        for batch in self.batches.values():
            known = batch["batch_header"]["sender_batch_header"]["sender_batch_id"]
            if known == header["sender_batch_id"]:
                number = batch["batch_header"]["payout_batch_id"]
                links = [{"rel": "self", "href": f"{self._url}/v1/payments/payouts/{number}"}]
                issue = "Batch with given sender_batch_id already exists"
                raise PayPalError(400, "USER_BUSINESS_ERROR", issue, links=links)
        number = self._new_id()
        (item,) = asked["items"]
        status = item["receiver"].partition("@")[0].upper()
        status = status if status in {"UNCLAIMED", "FAILED", "PENDING"} else "SUCCESS"
        amount = Decimal(item["amount"]["value"])
        made = {
            "payout_item_id": self._new_id(),
            "transaction_id": self._new_id(),
            "transaction_status": status,
            "payout_item_fee": {"currency": item["amount"]["currency"], "value": str(PAYOUT_FEE)},
            "payout_batch_id": number,
            "payout_item": item,
            "time_processed": self._at(),
        }
        if status == "FAILED":
            made["errors"] = {"name": "RECEIVER_UNREGISTERED"}
        else:
            self._enter("T0001", made, -amount)
        head = {
            "payout_batch_id": number,
            "batch_status": "SUCCESS",
            "time_created": self._at(),
            "sender_batch_header": header,
        }
        self.batches[number] = {"batch_header": head, "items": [made]}
        return {"batch_header": {**head, "batch_status": "PENDING"}}

    def one(self, number: str) -> Json:
        """Raises PayPalError."""
        if number not in self.batches:
            raise PayPalError(404, "RESOURCE_NOT_FOUND")
        return self.batches[number]

    def give_back(self, number: str) -> Json:
        """Nobody claimed it for thirty days."""
        batch = self.one(number)
        item = batch["items"][0]
        if item["transaction_status"] == "UNCLAIMED":
            item["transaction_status"], item["time_processed"] = "RETURNED", self._at()
            self._enter("T1114", item, Decimal(item["payout_item"]["amount"]["value"]))
        return batch

    def _enter(self, code: str, item: Json, amount: Decimal) -> None:
        asked = item["payout_item"]["amount"]
        thing = {
            "amount": {"currency_code": asked["currency"], "value": asked["value"]},
            "custom_id": item["payout_item"].get("sender_item_id", ""),
            "invoice_id": "",
        }
        number = item["transaction_id"] if code == "T0001" else self._new_id()
        self._books.enter(code, number, item["payout_batch_id"], amount, thing)


class Books:
    """All that moved, for `GET /v1/reporting/transactions`."""

    def __init__(self, now: Callable[[], float]) -> None:
        self.entries: list[tuple[datetime, Json]] = []
        self._now = now

    def enter(self, code: str, number: str, reference: str, amount: Decimal, thing: Json) -> None:
        """Something moved, to us or from us."""
        at = datetime.fromtimestamp(int(self._now()), UTC)
        currency = thing["amount"]["currency_code"]
        entry = {
            "transaction_id": number,
            "paypal_reference_id": reference,
            "paypal_reference_id_type": "ODR" if code == "T0006" else "TXN",
            "transaction_event_code": code,
            "transaction_initiation_date": at.strftime("%Y-%m-%dT%H:%M:%S+0000"),
            "transaction_updated_date": at.strftime("%Y-%m-%dT%H:%M:%S+0000"),
            "transaction_amount": {"currency_code": currency, "value": str(amount.quantize(CENT))},
            "transaction_status": "S",
            "custom_field": thing["custom_id"],
            "invoice_id": thing["invoice_id"],
        }
        if code in {"T0006", "T0001"}:
            kept = fee(amount) if code == "T0006" else PAYOUT_FEE
            entry["fee_amount"] = {"currency_code": currency, "value": str(-kept)}
        self.entries.append((at, entry))

    def search(self, since: str, until: str, page: int, size: int) -> Json:
        """A page, from 1 on. Raises PayPalError."""
        first, last = datetime.fromisoformat(since), datetime.fromisoformat(until)
        if not timedelta(0) <= last - first <= MAX_RANGE:
            raise PayPalError(400, "INVALID_REQUEST", "DATE_RANGE_EXCEEDED")
        found = [entry for at, entry in self.entries if first <= at <= last]
        shown = found[(page - 1) * size : page * size]
        return {
            "transaction_details": [{"transaction_info": one} for one in shown],
            "page": page,
            "total_items": len(found),
            "total_pages": max(1, -(-len(found) // size)),
        }


def _transaction(dispute: Json) -> str:
    return str(dispute["disputed_transactions"][0]["seller_transaction_id"])
