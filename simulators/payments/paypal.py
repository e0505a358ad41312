"""PayPal on one machine: tokens, orders, holds, refunds, disputes, payouts, signed webhooks.

    python -m simulators.payments.paypal PORT WEBHOOK_URL [FOLDER]

A payer approves at `/checkoutnow?token=<order>`: a page, or a `POST` there with `outcome=approve`
or `cancel`, and `funding=declined`, `action` or `echeck` for what comes of it when it is taken.
`POST /_simulator/<order>/{dispute,win,lose,refund,clear,bounce,expire}` is what happens elsewhere,
`POST /_simulator/<payout batch>/return` an unclaimed payout that comes back. FOLDER has the
certificate that it signs with (`paypal_certificates.save`); without one it makes its own. Loopback.
"""

from __future__ import annotations

import base64
import contextlib
import itertools
import json
import secrets
import sys
import time
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlencode

from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.hashes import SHA256
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import (
    HTMLResponse,
    JSONResponse,
    PlainTextResponse,
    RedirectResponse,
    Response,
)
from starlette.routing import Route

from simulators.payments.clock import Clock
from simulators.payments.faults import Faults
from simulators.payments.paypal_books import Books, Disputes, Payouts
from simulators.payments.paypal_certificates import Identity, load, make_identity
from simulators.payments.paypal_orders import Orders, PayPalError, shown, written
from simulators.payments.serving import Broken, Json, KeyReusedError, Keys, controls, serve
from simulators.payments.webhooks import Sender

CLIENT_ID = "stand-in-client"
CLIENT_SECRET = "stand-in-secret"  # noqa: S105 - the stand-in's own
WEBHOOK_ID = "1JE4291016473214C"
CERT_PATH = "/v1/notifications/certs/CERT-STAND-IN"
TOKEN_S = 32_400
PAGE = """<!doctype html><title>PayPal</title><h1>Pay {amount}?</h1>
<form method="post"><button name="outcome" value="approve">Pay</button>
<button name="outcome" value="cancel">Cancel</button></form>"""


class PayPalSimulator:
    """All that an account holds. `url`: its own.  `now`: seconds, for a clock of a test."""

    def __init__(
        self,
        webhook_url: str = "",
        url: str = "",
        now: Callable[[], float] = time.time,
        identity: Identity | None = None,
    ) -> None:
        self.identity = identity or make_identity()
        self.faults, self.keys, self.now, self.url = Faults(), Keys(), Clock(now), url
        self.tokens: set[str] = set()
        prefix, numbers = secrets.token_hex(4).upper(), itertools.count(1)

        def new_id() -> str:
            return f"{prefix}{next(numbers):09d}"

        self._new_id = new_id
        self._webhook_url = webhook_url
        self.sender: Sender | None = None
        self.books = Books(self.now)
        self.orders = Orders(url, self._new_id, self.now, self.tell, self.books.enter)
        self.disputes = Disputes(self.orders, self._new_id, self.tell, self.books)
        self.payouts = Payouts(url, self._new_id, self.orders.at, self.books)

    def app(self) -> Starlette:
        """The HTTP interface."""
        orders, get, post = self.orders, self._get, self._post
        held, taken = "/v2/payments/authorizations/{id}", "/v2/payments/captures/{id}"
        order = "/v2/checkout/orders/{id}"
        return Starlette(
            routes=[
                Route("/v1/oauth2/token", self._token, methods=["POST"]),
                post("/v2/checkout/orders", "create", lambda _, asked: orders.create(asked)),
                get(order, lambda r: orders.order(r.path_params["id"])),
                post(order + "/authorize", "authorize", orders.authorize),
                post(order + "/capture", "capture", orders.capture),
                post(held + "/capture", "capture", orders.capture_held),
                post(held + "/void", "cancel", orders.void),
                get(taken, self._taken),
                post(taken + "/refund", "refund", orders.refund),
                get("/v1/customer/disputes", self._search_disputes),
                get("/v1/customer/disputes/{id}", lambda r: self.disputes.one(r.path_params["id"])),
                post("/v1/payments/payouts", "pay", lambda _, asked: self.payouts.create(asked)),
                get("/v1/payments/payouts/{id}", lambda r: self.payouts.one(r.path_params["id"])),
                get("/v1/reporting/transactions", self._search_books),
                Route("/v1/notifications/certs/{id}", self._certificate),
                Route("/checkoutnow", self._approve, methods=["GET", "POST"]),
                *controls(self.faults, self.now, self._happen),
            ],
            lifespan=self._life,
        )

    @contextlib.asynccontextmanager
    async def _life(self, _app: Starlette) -> AsyncIterator[None]:
        self.sender = Sender(self._webhook_url, self.sign, self.faults)
        yield
        await self.sender.close()

    # --- requests ---------------------------------------------------------------------------------

    async def _token(self, request: Request) -> Response:
        basic = base64.b64encode(f"{CLIENT_ID}:{CLIENT_SECRET}".encode()).decode()
        if request.headers.get("authorization") != f"Basic {basic}":
            return JSONResponse({"error": "invalid_client"}, 401)
        if await self.faults.before("token"):
            return _refused(PayPalError(500, "INTERNAL_SERVER_ERROR"))
        token = f"A21AA{secrets.token_hex(16)}"
        self.tokens.add(token)
        return JSONResponse(
            {"access_token": token, "token_type": "Bearer", "expires_in": TOKEN_S, "scope": ""}
        )

    def _get(self, path: str, find: Callable[[Request], Json]) -> Route:
        async def answer(request: Request) -> Json:
            if await self.faults.before("fetch"):
                raise PayPalError(500, "INTERNAL_SERVER_ERROR")
            return find(request)

        return Route(path, self._guarded(answer))

    def _post(self, path: str, operation: str, handle: Callable[[str, Json], Json]) -> Route:
        """A request that changes something: once a key, with the plan's faults."""

        async def answer(request: Request) -> Json | None:
            body = await request.body()
            if await self.faults.before(operation):
                raise PayPalError(500, "INTERNAL_SERVER_ERROR")

            async def act() -> Json:
                return shown(handle(request.path_params.get("id", ""), json.loads(body or b"{}")))

            key = request.headers.get("paypal-request-id", "")
            said = request.url.path.encode() + b"\n" + body
            try:
                done, _ = await self.keys.once(key, said, act)
            except KeyReusedError:
                raise PayPalError(422, "DUPLICATE_REQUEST_ID") from None
            return None if self.faults.loses_answer(operation) else done

        return Route(path, self._guarded(answer), methods=["POST"])

    def _guarded(
        self, answer: Callable[[Request], Awaitable[Json | None]]
    ) -> Callable[[Request], Awaitable[Response]]:
        async def route(request: Request) -> Response:
            token = request.headers.get("authorization", "").removeprefix("Bearer ")
            if token not in self.tokens:
                return _refused(PayPalError(401, "AUTHENTICATION_FAILURE"))
            try:
                found = await answer(request)
            except PayPalError as error:
                return _refused(error)
            except (KeyError, ValueError, ArithmeticError) as error:
                return _refused(PayPalError(400, "INVALID_REQUEST", str(error)))
            return Broken() if found is None else JSONResponse(shown(found))

        return route

    def _taken(self, request: Request) -> Json:
        number = request.path_params["id"]
        order = self.orders.of_capture.get(number)
        if order is None:
            raise PayPalError(404, "RESOURCE_NOT_FOUND", "INVALID_RESOURCE_ID")
        (taken,) = order["purchase_units"][0]["payments"]["captures"]
        return self.orders.related(order, taken)

    def _search_disputes(self, request: Request) -> Json:
        return self.disputes.search(request.query_params["disputed_transaction_id"])

    def _search_books(self, request: Request) -> Json:
        asked = request.query_params
        page, size = int(asked.get("page", 1)), min(500, int(asked.get("page_size", 100)))
        return self.books.search(asked["start_date"], asked["end_date"], page, size)

    async def _certificate(self, _request: Request) -> Response:
        return PlainTextResponse(self.identity.chain_pem)

    # --- webhooks ---------------------------------------------------------------------------------

    def tell(self, kind: str, resource_type: str, resource: Json) -> None:
        """Send a webhook."""
        event = {
            "id": f"WH-{self._new_id()}",
            "event_version": "1.0",
            "create_time": self.orders.at(),
            "resource_type": resource_type,
            "event_type": kind,
            "resource": shown(resource),
        }
        if self.sender is not None:
            self.sender.put(json.dumps(event).encode())

    def sign(self, body: bytes, wrong: bool = False) -> dict[str, str]:
        """The headers of a webhook."""
        number, at = secrets.token_hex(16), written(self.now.present())
        named = "another" if wrong else WEBHOOK_ID
        signed = f"{number}|{at}|{named}|{zlib.crc32(body)}".encode()
        signature = self.identity.key.sign(signed, PKCS1v15(), SHA256())
        return {
            "paypal-transmission-id": number,
            "paypal-transmission-time": at,
            "paypal-transmission-sig": base64.b64encode(signature).decode(),
            "paypal-auth-algo": "SHA256withRSA",
            "paypal-cert-url": self.url + CERT_PATH,
        }

    # --- pages and handles of the stand-in --------------------------------------------------------

    async def _approve(self, request: Request) -> Response:
        try:
            order = self.orders.order(request.query_params.get("token", ""))
        except PayPalError as error:
            return _refused(error)
        if request.method == "GET":
            amount = order["purchase_units"][0]["amount"]
            return HTMLResponse(
                PAGE.format(amount=f"{float(amount['value']):.2f} {amount['currency_code'][:3]}")
            )
        form = dict(parse_qsl((await request.body()).decode()))
        told = {"token": order["id"]}
        approved = form.get("outcome") == "approve"
        if approved:
            self.orders.approve(order, form.get("funding", ""))
            told["PayerID"] = "STANDINPAYER1"
        back = order["_context"].get("return_url" if approved else "cancel_url", "")
        if not back:
            return JSONResponse({"status": order["status"]})
        joint = "&" if "?" in back else "?"
        return RedirectResponse(f"{back}{joint}{urlencode(told)}", 303)

    async def _happen(self, request: Request) -> Response:
        number, what = request.path_params["id"], request.path_params["what"]
        try:
            return JSONResponse(shown(self.happen(number, what)))
        except PayPalError as error:
            return _refused(error)

    def happen(self, number: str, what: str) -> Json:
        """What a payer, a bank or PayPal's own pages do. Raises PayPalError."""
        if what == "return":
            return self.payouts.give_back(number)
        order = self.orders.order(number)
        acts: dict[str, Callable[[], Any]] = {
            "dispute": lambda: self.disputes.open(order),
            "win": lambda: self.disputes.close(order, won=True),
            "lose": lambda: self.disputes.close(order, won=False),
            "refund": lambda: self.orders.refund(_capture_id(order), {}),
            "clear": lambda: self.orders.settle(order, cleared=True),
            "bounce": lambda: self.orders.settle(order, cleared=False),
            "expire": lambda: self.orders.orders.pop(number),
        }
        if what not in acts:
            raise PayPalError(404, "RESOURCE_NOT_FOUND")
        acts[what]()
        return order


def _capture_id(order: Json) -> str:
    for taken in order["purchase_units"][0]["payments"].get("captures", []):
        return str(taken["id"])
    raise PayPalError(422, "UNPROCESSABLE_ENTITY", "NOTHING_TAKEN")


def _refused(error: PayPalError) -> Response:
    return JSONResponse(error.body, error.status)


def main() -> None:
    """Serve until it is ended."""
    port, webhook_url = int(sys.argv[1]), sys.argv[2] if len(sys.argv) > 2 else ""
    identity = load(Path(sys.argv[3])) if len(sys.argv) > 3 else None
    simulator = PayPalSimulator(webhook_url, f"http://127.0.0.1:{port}", identity=identity)
    serve(simulator.app(), port)


if __name__ == "__main__":
    main()
