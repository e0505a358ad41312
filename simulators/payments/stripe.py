"""Stripe on one machine: PaymentIntents, refunds, disputes, idempotency keys, signed webhooks.

    python -m simulators.payments.stripe PORT WEBHOOK_URL

Test cards are Stripe's own names: `pm_card_visa` pays, `pm_card_authenticationRequired` asks its
owner first (a page at `/3ds/<id>`, or `POST` there with `outcome=succeed` or `fail`),
`pm_card_chargeDeclined` is declined, `pm_card_createDispute` is disputed once it is paid. Loopback.
"""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import itertools
import json
import re
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Any
from urllib.parse import parse_qsl

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse, Response
from starlette.routing import Route

from simulators.payments.clock import Clock
from simulators.payments.faults import Faults
from simulators.payments.serving import Broken, Json, KeyReusedError, Keys, controls, serve
from simulators.payments.stripe_balance import Balance, listed
from simulators.payments.stripe_cards import payment_method
from simulators.payments.stripe_connect import Connect
from simulators.payments.stripe_customers import Customers
from simulators.payments.webhooks import Sender

SECRET_KEY = "sk_test_simulator"  # noqa: S105 - the stand-in's own
WEBHOOK_SECRET = "whsec_simulator"  # noqa: S105
CAPTURABLE, DONE = "requires_capture", "succeeded"
OPEN = ("requires_payment_method", "requires_confirmation", "requires_action", "processing")
PAGE = """<!doctype html><title>3-D Secure</title><h1>Is it you?</h1>
<form method="post"><button name="outcome" value="succeed">Yes</button>
<button name="outcome" value="fail">No</button></form>"""

Handler = Callable[[Request, Json], Awaitable[Json]]


class StripeError(Exception):
    """What Stripe answers instead."""

    def __init__(self, status: int, kind: str, code: str, **more: Any) -> None:
        super().__init__(code)
        self.status = status
        self.body = {"error": {"type": kind, "code": code, "message": code, **more}}


class StripeSimulator:
    """All that a Stripe account holds. `url`: its own.  `now`: seconds, for a clock of a test."""

    def __init__(
        self, webhook_url: str = "", url: str = "", now: Callable[[], float] = time.time
    ) -> None:
        self.intents: dict[str, Json] = {}
        self.refunds: dict[str, Json] = {}
        self.disputes: dict[str, Json] = {}
        self.keys = Keys()
        self.faults = Faults()
        self.now = Clock(now)
        self.balance = Balance(self.now)
        self._numbers = itertools.count(1)
        self._webhook_url, self.url = webhook_url, url
        self.sender: Sender | None = None
        self.connect = Connect(self)
        self.saved = Customers(url, lambda kind, thing: self.tell(kind, thing), StripeError)  # noqa: PLW0108 - a test may replace it

    def app(self) -> Starlette:
        """The HTTP interface."""
        return Starlette(
            routes=[
                Route("/v1/payment_intents", self.change("create", self._create), methods=["POST"]),
                Route("/v1/payment_intents", self._list(self._intents)),
                Route("/v1/balance_transactions", self._list(self.balance.page)),
                Route(
                    "/v1/payment_intents/{id}",
                    self.look(lambda request: self._shown(self._intent(request))),
                ),
                *(
                    Route(
                        f"/v1/payment_intents/{{id}}/{name}",
                        self.change(name, handler),
                        methods=["POST"],
                    )
                    for name, handler in (
                        ("confirm", self._confirm),
                        ("capture", self._capture),
                        ("cancel", self._cancel),
                    )
                ),
                Route("/v1/payment_methods/{id}", self._card),
                *self.saved.routes(self.change, self.look),
                Route("/v1/refunds", self.change("refund", self._refund), methods=["POST"]),
                Route("/3ds/{id}", self._authenticate, methods=["GET", "POST"]),
                *self.connect.routes(),
                *controls(self.faults, self.now, self._happen),
            ],
            lifespan=self._life,
        )

    @contextlib.asynccontextmanager
    async def _life(self, _app: Starlette) -> AsyncIterator[None]:
        self.sender = Sender(self._webhook_url, self._sign, self.faults)
        yield
        await self.sender.close()

    # --- requests ---------------------------------------------------------------------------------

    def change(self, operation: str, handler: Handler) -> Callable[[Request], Awaitable[Response]]:
        """A request that changes something: authenticated, once a key, with the plan's faults."""

        async def route(request: Request) -> Response:
            body = await request.body()
            if request.headers.get("authorization") != f"Bearer {SECRET_KEY}":
                return _refused(StripeError(401, "invalid_request_error", "api_key_invalid"))
            if await self.faults.before(operation):
                return _refused(StripeError(500, "api_error", "simulated"))
            key = request.headers.get("idempotency-key", "")
            try:
                answer, replayed = await self.keys.once(
                    key,
                    request.url.path.encode() + b"\n" + body,
                    lambda: handler(request, _nested(body.decode())),
                )
            except KeyReusedError:
                code = "idempotency_key_in_use"
                return _refused(StripeError(400, "idempotency_error", code))
            except StripeError as error:
                return _refused(error)
            if self.faults.loses_answer(operation):
                return Broken()
            headers = {"idempotent-replayed": "true"} if replayed else {}
            return JSONResponse(answer, headers=headers)

        return route

    def look(self, handler: Callable[[Request], Json]) -> Callable[[Request], Awaitable[Response]]:
        """A request that changes nothing, with the plan's faults."""

        async def route(request: Request) -> Response:
            if await self.faults.before("fetch"):
                return _refused(StripeError(500, "api_error", "simulated"))
            try:
                return JSONResponse(handler(request))
            except StripeError as error:
                return _refused(error)

        return route

    def error(self, status: int, kind: str, code: str) -> StripeError:
        """What Stripe answers instead."""
        return StripeError(status, kind, code)

    def next_number(self) -> int:
        """Numbers of things."""
        return next(self._numbers)

    def _list(
        self, page: Callable[[Sequence[tuple[str, str]]], Json]
    ) -> Callable[[Request], Awaitable[Response]]:
        """A list: authenticated, with the plan's faults."""

        async def route(request: Request) -> Response:
            if request.headers.get("authorization") != f"Bearer {SECRET_KEY}":
                return _refused(StripeError(401, "invalid_request_error", "api_key_invalid"))
            if await self.faults.before("list"):
                return _refused(StripeError(500, "api_error", "simulated"))
            return JSONResponse(page(request.query_params.multi_items()))

        return route

    def _intents(self, asked: Sequence[tuple[str, str]]) -> Json:
        return listed(list(self.intents.values())[::-1], dict(asked), self._shown)

    async def _card(self, request: Request) -> Response:
        if await self.faults.before("card"):
            return _refused(StripeError(500, "api_error", "simulated"))
        found = payment_method(request.path_params["id"])
        missing = StripeError(404, "invalid_request_error", "resource_missing")
        return JSONResponse(found) if found else _refused(missing)

    async def _create(self, _request: Request, asked: Json) -> Json:
        amount = int(asked.get("amount", 0))
        if amount <= 0:
            raise StripeError(400, "invalid_request_error", "parameter_invalid_integer")
        self.saved.check(str(asked.get("payment_method")), asked.get("customer"))
        number = f"pi_{next(self._numbers):08d}"
        intent = {
            "id": number,
            "object": "payment_intent",
            "amount": amount,
            "amount_received": 0,
            "currency": asked["currency"],
            "capture_method": asked.get("capture_method", "automatic"),
            "client_secret": f"{number}_secret_{hashlib.sha256(number.encode()).hexdigest()[:16]}",
            "created": int(self.now()),
            "metadata": asked.get("metadata", {}),
            "payment_method": asked.get("payment_method"),
            "return_url": asked.get("return_url"),
            "next_action": None,
            "last_payment_error": None,
            "status": "requires_payment_method",
        }
        self.intents[number] = intent
        if asked.get("confirm") == "true":
            self._pay(intent)
        return self._shown(intent)

    async def _confirm(self, request: Request, asked: Json) -> Json:
        intent = self._intent(request)
        self._must_be(intent, *OPEN)
        intent["payment_method"] = asked.get("payment_method", intent["payment_method"])
        self._pay(intent)
        return self._shown(intent)

    async def _capture(self, request: Request, asked: Json) -> Json:
        intent = self._intent(request)
        self._must_be(intent, CAPTURABLE)
        amount = int(asked.get("amount_to_capture") or intent["amount"])
        if amount > intent["amount"]:
            raise StripeError(400, "invalid_request_error", "amount_too_large")
        self._take(intent, amount)
        return self._shown(intent)

    async def _cancel(self, request: Request, _asked: Json) -> Json:
        intent = self._intent(request)
        self._must_be(intent, *OPEN, CAPTURABLE)
        self._move(intent, "canceled")
        return self._shown(intent)

    async def _refund(self, _request: Request, asked: Json) -> Json:
        intent = self.intents.get(str(asked.get("payment_intent")))
        if intent is None:
            raise StripeError(404, "invalid_request_error", "resource_missing")
        amount = int(asked.get("amount") or intent["amount_received"])
        if amount > self.left(intent):
            raise StripeError(400, "invalid_request_error", "charge_already_refunded")
        return self.refund(intent, amount, asked.get("metadata", {}))

    # --- what happens -----------------------------------------------------------------------------

    def _pay(self, intent: Json) -> None:
        """Confirm: charge the card, or ask its owner first."""
        method = intent["payment_method"]
        if not method:
            return
        if method in {"pm_card_authenticationRequired", "pm_card_threeDSecure2Required"}:
            url = f"{self.url}/3ds/{intent['id']}"
            redirect = {"url": url, "return_url": intent["return_url"]}
            intent["next_action"] = {"type": "redirect_to_url", "redirect_to_url": redirect}
            self._move(intent, "requires_action")
        elif method == "pm_card_chargeDeclined":
            self._decline(intent)
            raise StripeError(402, "card_error", "card_declined", decline_code="generic_decline")
        else:
            self._authorize(intent)

    def _authorize(self, intent: Json) -> None:
        intent["next_action"] = None
        if intent["capture_method"] == "manual":
            self._move(intent, CAPTURABLE)
        else:
            self._take(intent, intent["amount"])

    def _take(self, intent: Json, amount: int) -> None:
        intent["amount_received"] = amount
        self.balance.charge(intent, amount)
        self._move(intent, DONE)
        if intent["payment_method"] == "pm_card_createDispute":
            self.dispute(intent)

    def _decline(self, intent: Json) -> None:
        intent["next_action"] = None
        intent["last_payment_error"] = {"code": "card_declined", "type": "card_error"}
        self._move(intent, "requires_payment_method", "payment_intent.payment_failed")

    def _move(self, intent: Json, status: str, kind: str = "") -> None:
        intent["status"] = status
        names = {DONE: "succeeded", CAPTURABLE: "amount_capturable_updated"}
        self.tell(kind or f"payment_intent.{names.get(status, status)}", intent)

    def refund(self, intent: Json, amount: int, metadata: Json | None = None) -> Json:
        """Give back, asked for or not."""
        number = f"re_{next(self._numbers):08d}"
        refund = {
            "id": number,
            "object": "refund",
            "amount": amount,
            "currency": intent["currency"],
            "payment_intent": intent["id"],
            "metadata": metadata or {},
            "status": "succeeded",
            "created": int(self.now()),
        }
        self.refunds[number] = refund
        self.balance.refund(refund)
        self.tell("refund.created", refund)
        return refund

    def dispute(self, intent: Json) -> Json:
        """The payer complains at their bank, which takes the money at once."""
        number = f"dp_{next(self._numbers):08d}"
        dispute = {
            "id": number,
            "object": "dispute",
            "amount": self.left(intent),
            "currency": intent["currency"],
            "payment_intent": intent["id"],
            "status": "needs_response",
            "created": int(self.now()),
        }
        self.disputes[number] = dispute
        self.balance.dispute(dispute)
        self.tell("charge.dispute.created", dispute)
        return dispute

    def left(self, intent: Json) -> int:
        """What of an intent was taken and not given back."""
        back = sum(
            one["amount"]
            for one in self.refunds.values()
            if one["payment_intent"] == intent["id"] and one["status"] != "failed"
        )
        withheld = sum(
            one["amount"]
            for one in self.disputes.values()
            if one["payment_intent"] == intent["id"] and one["status"] != "won"
        )
        return int(intent["amount_received"] - back - withheld)

    def tell(self, kind: str, thing: Json) -> None:
        """Send a webhook."""
        event = {
            "id": f"evt_{next(self._numbers):08d}",
            "object": "event",
            "type": kind,
            "created": int(self.now()),
            "data": {"object": self._shown(thing) if thing["id"] in self.intents else thing},
        }
        if self.sender is not None:
            self.sender.put(json.dumps(event).encode())

    def _sign(self, body: bytes, wrong: bool) -> dict[str, str]:
        at = int(self.now.present())
        secret = b"another" if wrong else WEBHOOK_SECRET.encode()
        digest = hmac.new(secret, f"{at}.".encode() + body, hashlib.sha256).hexdigest()
        return {"stripe-signature": f"t={at},v1={digest}"}

    # --- pages and handles of the stand-in --------------------------------------------------------

    async def _authenticate(self, request: Request) -> Response:
        try:
            intent = self._intent(request)
        except StripeError as error:
            return _refused(error)
        if request.method == "GET":
            return HTMLResponse(PAGE)
        form = dict(parse_qsl((await request.body()).decode()))
        if intent["status"] == "requires_action":
            if form.get("outcome") == "succeed":
                self._authorize(intent)
            else:
                self._decline(intent)
        if intent["return_url"]:
            return RedirectResponse(intent["return_url"], 303)
        return JSONResponse({"status": intent["status"]})

    async def _happen(self, request: Request) -> Response:
        """`dispute`, `win`, `lose` or `refund` an intent, as a bank or the dashboard would."""
        try:
            intent = self._intent(request)
        except StripeError as error:
            return _refused(error)
        what = request.path_params["what"]
        if what == "dispute":
            return JSONResponse(self.dispute(intent))
        if what == "refund":
            return JSONResponse(self.refund(intent, self.left(intent)))
        for dispute in self.disputes.values():
            if dispute["payment_intent"] == intent["id"] and what in {"win", "lose"}:
                if what == "win" and dispute["status"] != "won":
                    self.balance.dispute_won(dispute)
                dispute["status"] = "won" if what == "win" else "lost"
                self.tell("charge.dispute.closed", dispute)
        return JSONResponse(self._shown(intent))

    def _intent(self, request: Request) -> Json:
        found = self.intents.get(request.path_params["id"])
        if found is None:
            raise StripeError(404, "invalid_request_error", "resource_missing")
        return found

    def _must_be(self, intent: Json, *statuses: str) -> None:
        if intent["status"] not in statuses:
            code = "payment_intent_unexpected_state"
            raise StripeError(400, "invalid_request_error", code, payment_intent=intent)

    def _shown(self, intent: Json) -> Json:
        """With its charge, as `expand[]=latest_charge.refunds` gives it."""
        if not intent["amount_received"]:
            return {**intent, "latest_charge": None}
        mine = [r for r in self.refunds.values() if r["payment_intent"] == intent["id"]]
        disputes = [d for d in self.disputes.values() if d["payment_intent"] == intent["id"]]
        charge = {
            "id": intent["id"].replace("pi_", "ch_"),
            "object": "charge",
            "amount_captured": intent["amount_received"],
            "payment_intent": intent["id"],
            "refunds": {"object": "list", "data": mine, "has_more": False},
            "dispute": disputes[-1] if disputes else None,
        }
        return {**intent, "latest_charge": charge}


def _refused(error: StripeError) -> Response:
    return JSONResponse(error.body, error.status)


def _nested(body: str) -> Json:
    """`a[b]=c` as Stripe's forms have it."""
    found: Json = {}
    for name, value in parse_qsl(body):
        first, *rest = [part for part in re.split(r"[\[\]]+", name) if part]
        place = found
        for part in rest:
            place = place.setdefault(first, {})
            first = part
        place[first] = value
    return found


def main() -> None:
    """Serve until it is ended."""
    port, webhook_url = int(sys.argv[1]), sys.argv[2] if len(sys.argv) > 2 else ""
    serve(StripeSimulator(webhook_url, f"http://127.0.0.1:{port}").app(), port)


if __name__ == "__main__":
    main()
