"""Stripe Connect in the stand-in: connected accounts, onboarding, transfers, reversals.

The onboarding page is at `/connect/<account>`, or `POST` there with `outcome=complete`, `submit`
(Stripe still looks) or `leave`. `POST /_simulator/transfers/<id>/reverse` reverses a transfer, as
the dashboard would; `POST /_simulator/accounts/<id>/restrict` stops payouts to an account.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from typing import Any, Protocol
from urllib.parse import parse_qsl

from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse, Response
from starlette.routing import Route

from simulators.payments.clock import Clock
from simulators.payments.serving import Json
from simulators.payments.stripe_balance import Balance

Handler = Callable[[Request, Json], Awaitable[Json]]
PAGE = """<!doctype html><title>Onboarding</title><h1>Where shall the money go?</h1>
<form method="post"><button name="outcome" value="complete">All is well</button>
<button name="outcome" value="submit">Stripe has to look</button>
<button name="outcome" value="leave">Later</button></form>"""
MISSING = 404, "invalid_request_error", "resource_missing"


class Account(Protocol):
    """What the stand-in of Stripe gives its parts."""

    now: Clock
    url: str
    balance: Balance

    def next_number(self) -> int:
        """Numbers of things."""

    def change(self, operation: str, handler: Handler) -> Callable[[Request], Awaitable[Response]]:
        """A request that changes something, once a key, with the plan's faults."""

    def look(self, handler: Callable[[Request], Json]) -> Callable[[Request], Awaitable[Response]]:
        """A request that changes nothing, with the plan's faults."""

    def tell(self, kind: str, thing: Json) -> None:
        """Send a webhook."""

    def error(self, status: int, kind: str, code: str) -> Exception:
        """What Stripe answers instead."""


class Connect:
    """Connected accounts and transfers. `funds`: by currency, what can be transferred."""

    def __init__(self, stripe: Account) -> None:
        self._stripe = stripe
        self.accounts: dict[str, Json] = {}
        self.transfers: dict[str, Json] = {}
        self.return_urls: dict[str, str] = {}
        self.funds: dict[str, int] | None = None  # None: there is always enough

    def routes(self) -> Iterator[Route]:
        """The HTTP interface."""
        change, look = self._stripe.change, self._stripe.look
        yield Route("/v1/accounts", change("account", self._open), methods=["POST"])
        yield Route("/v1/accounts/{id}", look(self._account))
        yield Route("/v1/account_links", change("account-link", self._link), methods=["POST"])
        yield Route("/v1/transfers", change("transfer", self._transfer), methods=["POST"])
        yield Route("/v1/transfers", look(self._list))
        yield Route("/v1/transfers/{id}", look(self._found))
        reversal = change("reversal", self._reversal)
        yield Route("/v1/transfers/{id}/reversals", reversal, methods=["POST"])
        yield Route("/connect/{id}", self._onboard, methods=["GET", "POST"])
        yield Route("/_simulator/transfers/{id}/reverse", self._reverse, methods=["POST"])
        yield Route("/_simulator/accounts/{id}/restrict", self._restrict, methods=["POST"])

    # --- accounts ---------------------------------------------------------------------------------

    async def _open(self, _request: Request, asked: Json) -> Json:
        number = f"acct_{self._stripe.next_number():08d}"
        self.accounts[number] = {
            "id": number,
            "object": "account",
            "type": asked.get("type", "express"),
            "country": asked.get("country", "US"),
            "created": int(self._stripe.now()),
            "details_submitted": False,
            "payouts_enabled": False,
            "charges_enabled": False,
            "metadata": {},
        }
        return self.accounts[number]

    def _account(self, request: Request) -> Json:
        return self._known(self.accounts, request.path_params["id"])

    async def _link(self, _request: Request, asked: Json) -> Json:
        account = self._known(self.accounts, str(asked.get("account")))
        self.return_urls[account["id"]] = str(asked.get("return_url", ""))
        created = int(self._stripe.now())
        url = f"{self._stripe.url}/connect/{account['id']}"
        return {
            "object": "account_link",
            "url": url,
            "created": created,
            "expires_at": created + 300,
        }

    async def _onboard(self, request: Request) -> Response:
        number = request.path_params["id"]
        if number not in self.accounts:
            return JSONResponse({"error": "no such account"}, 404)
        if request.method == "GET":
            return HTMLResponse(PAGE)
        form = dict(parse_qsl((await request.body()).decode()))
        if form.get("outcome") in {"complete", "submit"}:
            self.onboard(number, payouts=form["outcome"] == "complete")
        url = self.return_urls.get(number)
        return RedirectResponse(url, 303) if url else JSONResponse(self.accounts[number])

    def onboard(self, number: str, *, payouts: bool = True) -> None:
        """The account's owner does their part, and Stripe is content with it or is not yet."""
        account = self.accounts[number]
        account.update(details_submitted=True, payouts_enabled=payouts)
        self._stripe.tell("account.updated", account)

    async def _restrict(self, request: Request) -> Response:
        account = self.accounts.get(request.path_params["id"])
        if account is None:
            return JSONResponse({"error": "no such account"}, 404)
        account["payouts_enabled"] = False
        self._stripe.tell("account.updated", account)
        return JSONResponse(account)

    # --- transfers --------------------------------------------------------------------------------

    async def _transfer(self, _request: Request, asked: Json) -> Json:
        account = self._known(self.accounts, str(asked.get("destination")))
        if not account["payouts_enabled"]:
            raise self._stripe.error(400, "invalid_request_error", "account_invalid")
        amount, currency = int(asked.get("amount", 0)), str(asked["currency"])
        if amount <= 0:
            raise self._stripe.error(400, "invalid_request_error", "parameter_invalid_integer")
        if self.funds is not None:
            if self.funds.get(currency, 0) < amount:
                raise self._stripe.error(400, "invalid_request_error", "balance_insufficient")
            self.funds[currency] -= amount
        number = f"tr_{self._stripe.next_number():08d}"
        self.transfers[number] = {
            "id": number,
            "object": "transfer",
            "amount": amount,
            "amount_reversed": 0,
            "currency": currency,
            "created": int(self._stripe.now()),
            "description": asked.get("description"),
            "destination": account["id"],
            "metadata": asked.get("metadata", {}),
            "reversals": {"object": "list", "data": [], "has_more": False},
            "reversed": False,
            "transfer_group": asked.get("transfer_group"),
        }
        self._stripe.balance.add("transfer", "transfer", -amount, self.transfers[number])
        self._stripe.tell("transfer.created", self.transfers[number])
        return self.transfers[number]

    def _found(self, request: Request) -> Json:
        return self._known(self.transfers, request.path_params["id"])

    def _list(self, request: Request) -> Json:
        wanted = request.query_params
        found = [
            one
            for one in reversed(self.transfers.values())
            if all(
                one[name] == wanted[name]
                for name in ("transfer_group", "destination")
                if name in wanted
            )
        ]
        most = int(wanted.get("limit", 10))
        return {
            "object": "list",
            "data": found[:most],
            "has_more": len(found) > most,
            "url": "/v1/transfers",
        }

    async def _reversal(self, request: Request, asked: Json) -> Json:
        transfer = self._known(self.transfers, request.path_params["id"])
        left = transfer["amount"] - transfer["amount_reversed"]
        amount = int(asked.get("amount") or left)
        if not 0 < amount <= left:
            raise self._stripe.error(400, "invalid_request_error", "amount_too_large")
        return self.reverse(transfer["id"], amount)

    def reverse(self, number: str, amount: int | None = None) -> Json:
        """Take a transfer back, or a part of it."""
        transfer = self.transfers[number]
        amount = amount or transfer["amount"] - transfer["amount_reversed"]
        reversal: dict[str, Any] = {
            "id": f"trr_{self._stripe.next_number():08d}",
            "object": "transfer_reversal",
            "amount": amount,
            "currency": transfer["currency"],
            "created": int(self._stripe.now()),
            "metadata": transfer["metadata"],
            "transfer": number,
        }
        transfer["reversals"]["data"].insert(0, reversal)
        transfer["amount_reversed"] += amount
        transfer["reversed"] = transfer["amount_reversed"] == transfer["amount"]
        if self.funds is not None:
            self.funds[transfer["currency"]] += amount
        self._stripe.balance.add("transfer_refund", "transfer_reversal", amount, reversal)
        self._stripe.tell("transfer.reversed", transfer)
        return reversal

    async def _reverse(self, request: Request) -> Response:
        if request.path_params["id"] not in self.transfers:
            return JSONResponse({"error": "no such transfer"}, 404)
        return JSONResponse(self.reverse(request.path_params["id"]))

    def _known(self, things: dict[str, Json], number: str) -> Json:
        if number not in things:
            raise self._stripe.error(*MISSING)
        return things[number]
