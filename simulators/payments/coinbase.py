"""Coinbase Business Checkouts on one machine: signed requests, keys, a page to pay on, webhooks.

    python -m simulators.payments.coinbase PORT WEBHOOK_URL PUBLIC_KEY_PEM

The page (`GET` and `POST /payment-links/pl_<id>`) takes `outcome=pay`, `underpay`, `overpay` (half
and double, or `amount`), `fail` or `expire`. `POST /_simulator/<id>/<what>`: `pay-late` (whatever
the state), `detect`, `end-refunds`, `fail-refunds`, `refund` (by hand, in the dashboard);
`POST /_simulator/faults`: a plan. Loopback.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
import hmac
import json
import re
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from decimal import Decimal, InvalidOperation
from typing import Any
from urllib.parse import parse_qsl

import jwt
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse, Response
from starlette.routing import Route

from simulators.payments.clock import Clock
from simulators.payments.coinbase_account import CheckoutError, CoinbaseAccount, invalid
from simulators.payments.faults import Faults
from simulators.payments.serving import Broken, Json, KeyReusedError, Keys, controls, serve
from simulators.payments.webhooks import Sender

KEY_ID = "organizations/stand-in/apiKeys/stand-in"
WEBHOOK_SECRET = "hook0_simulator"  # noqa: S105 - the stand-in's own
ALGORITHMS = ["ES256", "EdDSA"]
LASTS_S = 120
UUID4 = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")
SIGNED = ("content-type", "x-event-id", "x-event-type")
REFUND_S = 0.2
MAX_PAGE = 100
PAGE = """<!doctype html><title>Checkout</title><h1>{amount} USDC on Base</h1><p>{status}</p>
<form method="post"><button name="outcome" value="pay">Pay</button>
<button name="outcome" value="underpay">Pay too little</button>
<button name="outcome" value="overpay">Pay too much</button>
<button name="outcome" value="fail">Fail</button>
<button name="outcome" value="expire">Let it expire</button></form>"""

Handler = Callable[[Request, Json], Awaitable[Json]]


class CoinbaseSimulator:
    """The HTTP interface of an account. `url`: its own.  `now`: seconds.  `refund_s`: how long a
    refund takes; None: until it is told to end.
    """

    def __init__(
        self,
        public_key: str,
        webhook_url: str = "",
        url: str = "",
        now: Callable[[], float] = time.time,
        refund_s: float | None = REFUND_S,
    ) -> None:
        self.now, self._refund_s = Clock(now), refund_s
        self.account = CoinbaseAccount(url, self._tell, self.now)
        self.faults, self.keys = Faults(), Keys()
        self._public_key, self._webhook_url = public_key, webhook_url
        self.sender: Sender | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    def app(self) -> Starlette:
        """The HTTP interface."""
        one = "/api/v1/checkouts/{id}"
        return Starlette(
            routes=[
                self._route("POST", "/api/v1/checkouts", "create", self._create, 201),
                self._route("GET", "/api/v1/checkouts", "list", self._list),
                self._route("GET", one, "fetch", self._fetch),
                self._route("POST", f"{one}/deactivate", "cancel", self._deactivate),
                self._route("POST", f"{one}/refund", "refund", self._refund, 201),
                Route("/payment-links/pl_{id}", self._page, methods=["GET", "POST"]),
                *controls(self.faults, self.now, self._happen),
            ],
            lifespan=self._life,
        )

    @contextlib.asynccontextmanager
    async def _life(self, _app: Starlette) -> AsyncIterator[None]:
        self.sender = Sender(self._webhook_url, self._sign, self.faults)
        yield
        for task in self._tasks:
            task.cancel()
        await self.sender.close()

    # --- requests ---------------------------------------------------------------------------------

    def _route(
        self, method: str, path: str, operation: str, handler: Handler, status: int = 200
    ) -> Route:
        """A request: authenticated, once a key, with the plan's faults."""

        async def answer(request: Request) -> Response:
            try:
                self._authenticate(request)
                if await self.faults.before(operation):
                    return _refused(CheckoutError(500, "internal_server_error", "simulated"))
                found = await self._once(request, handler)
            except CheckoutError as error:
                return _refused(error)
            return Broken() if self.faults.loses_answer(operation) else JSONResponse(found, status)

        return Route(path, answer, methods=[method])

    def _authenticate(self, request: Request) -> None:
        """The token has to be of our key, for this request and for two minutes at most."""
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        try:
            claims = jwt.decode(
                token,
                self._public_key,
                ALGORITHMS,
                issuer="cdp",
                options={"require": ["iss", "sub", "nbf", "exp"]},
            )
            header = jwt.get_unverified_header(token)
        except jwt.PyJWTError as error:
            raise CheckoutError(401, "unauthorized", str(error)) from None
        uri = f"{request.method} {request.headers['host']}{request.url.path}"
        whole = (
            scheme == "Bearer"
            and claims["sub"] == header.get("kid") == KEY_ID
            and claims.get("uri") == uri
            and claims["exp"] - claims["nbf"] <= LASTS_S
            and header.get("nonce")
        )
        if not whole:
            raise CheckoutError(401, "unauthorized", "the token is not for this request")

    async def _once(self, request: Request, handler: Handler) -> Json:
        body = await request.body()
        asked = _object(body) if request.method == "POST" else {}
        key = request.headers.get("x-idempotency-key", "")
        if key and not UUID4.fullmatch(key):
            raise invalid("X-Idempotency-Key is a UUID of version 4")
        said = request.url.path.encode() + b"\n" + body
        try:
            answer, _ = await self.keys.once(key, said, lambda: handler(request, asked))
        except KeyReusedError:
            raise invalid("this X-Idempotency-Key came with another request") from None
        return answer

    async def _create(self, _request: Request, asked: Json) -> Json:
        return self.account.create(asked)

    async def _fetch(self, request: Request, _asked: Json) -> Json:
        return self.account.find(request.path_params["id"])

    async def _deactivate(self, request: Request, _asked: Json) -> Json:
        return self.account.deactivate(self.account.find(request.path_params["id"]))

    async def _refund(self, request: Request, asked: Json) -> Json:
        checkout = self.account.find(request.path_params["id"])
        refund = self.account.refund(checkout, asked)
        if self._refund_s is not None:
            task = asyncio.create_task(self._end_later(checkout, refund, self._refund_s))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        return {"checkout": checkout, "refund": refund}

    async def _end_later(self, checkout: Json, refund: Json, after_s: float) -> None:
        await asyncio.sleep(after_s)
        self.account.end_refund(checkout, refund, well=True)

    async def _list(self, request: Request, _asked: Json) -> Json:
        query = request.query_params
        size = int(query.get("pageSize", 20))
        if not 1 <= size <= MAX_PAGE:
            raise invalid("pageSize")
        statuses = set(query.getlist("status"))
        since, until = query.get("startTime", ""), query.get("endTime", "~")
        found = [
            one
            for one in map(self.account.find, list(self.account.checkouts))
            if (not statuses or one["status"] in statuses) and since <= one["createdAt"] <= until
        ]
        found.reverse()
        begin = int(base64.b64decode(query.get("pageToken", "")) or 0)
        page: Json = {"checkouts": found[begin : begin + size]}
        if begin + size < len(found):
            page["nextPageToken"] = base64.b64encode(str(begin + size).encode()).decode()
        return page

    # --- webhooks ---------------------------------------------------------------------------------

    def _tell(self, kind: str, checkout: Json) -> None:
        if self.sender is not None:
            self.sender.put(json.dumps({**checkout, "eventType": kind}).encode())

    def _sign(self, body: bytes, wrong: bool) -> dict[str, str]:
        at, names = int(self.now.present()), " ".join(SIGNED)
        headers = {
            "content-type": "application/json",
            "x-event-id": hashlib.sha256(body).hexdigest()[:32],
            "x-event-type": str(json.loads(body).get("eventType", "")),
        }
        values = ".".join(headers[name] for name in SIGNED)
        secret = b"another" if wrong else WEBHOOK_SECRET.encode()
        v0 = hmac.new(secret, f"{at}.".encode() + body, hashlib.sha256).hexdigest()
        signed = f"{at}.{names}.{values}.".encode() + body
        v1 = hmac.new(secret, signed, hashlib.sha256).hexdigest()
        return {**headers, "x-hook0-signature": f"t={at},v0={v0},h={names},v1={v1}"}

    # --- the page and handles of the stand-in -----------------------------------------------------

    async def _page(self, request: Request) -> Response:
        try:
            checkout = self.account.find(request.path_params["id"])
            if request.method == "GET":
                return HTMLResponse(PAGE.format(**checkout))
            form = dict(parse_qsl((await request.body()).decode()))
            if checkout["status"] != "ACTIVE":
                return _refused(CheckoutError(409, "conflict", f"it is {checkout['status']}"))
            self._act(checkout, form.get("outcome", ""), form.get("amount", ""))
        except CheckoutError as error:
            return _refused(error)
        paid = checkout["status"] == "COMPLETED"
        back = checkout.get("successRedirectUrl" if paid else "failRedirectUrl")
        return RedirectResponse(back, 303) if back else JSONResponse(checkout)

    def _act(self, checkout: Json, outcome: str, amount: str) -> None:
        asked = Decimal(checkout["amount"])
        shares = {"pay": asked, "underpay": asked / 2, "overpay": asked * 2}
        if outcome in shares:
            self.account.pay(checkout, _sent(amount) if amount else shares[outcome])
        elif outcome == "fail":
            self.account.fail(checkout)
        elif outcome == "expire":
            self.account.expire(checkout)
        else:
            raise invalid("outcome")

    async def _happen(self, request: Request) -> Response:
        """What a chain, or the dashboard, would do."""
        try:
            checkout = self.account.find(request.path_params["id"])
            what = request.path_params["what"]
            if what == "pay-late":
                self.account.pay(checkout, Decimal(checkout["amount"]))
            elif what == "detect":
                self.account.detect(checkout)
            elif what in {"end-refunds", "fail-refunds"}:
                for refund in checkout.get("refunds", []):
                    self.account.end_refund(checkout, refund, well=what == "end-refunds")
            elif what == "refund":  # by hand, in the dashboard
                left = self.account.left(checkout)
                refund = self.account.refund(checkout, {"amount": str(left), "reason": "by hand"})
                self.account.end_refund(checkout, refund, well=True)
            else:
                raise invalid("what")
        except CheckoutError as error:
            return _refused(error)
        return JSONResponse(checkout)


def _object(body: bytes) -> Json:
    try:
        asked = json.loads(body or b"{}")
    except ValueError:
        raise invalid("no JSON") from None
    if not isinstance(asked, dict):
        raise invalid("no object")
    return asked


def _sent(amount: str) -> Decimal:
    try:
        return Decimal(amount)
    except InvalidOperation:
        raise invalid("amount") from None


def _refused(error: CheckoutError) -> Response:
    body: dict[str, Any] = {
        "errorType": error.kind,
        "errorMessage": error.message,
        "correlationId": hashlib.sha256(error.message.encode()).hexdigest()[:16],
    }
    return JSONResponse(body, error.status)


def main() -> None:
    """Serve until it is ended."""
    port, webhook_url, public_key = int(sys.argv[1]), sys.argv[2], sys.argv[3]
    simulator = CoinbaseSimulator(public_key, webhook_url, f"http://127.0.0.1:{port}")
    serve(simulator.app(), port)


if __name__ == "__main__":
    main()
