"""Saved cards of the stand-in for Stripe: customers, SetupIntents, attached payment methods.

A card is saved under a name of its own: `pm_card_visa` becomes `pm_card_visa_seti00000007`. Only
with its customer can it be paid with, and once detached never again, as at Stripe.
`pm_card_authenticationRequired` asks its owner first, at the page `/setup-3ds/<id>`;
`pm_card_chargeDeclined` is declined.
"""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qsl

from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse, Response
from starlette.routing import Route

from simulators.payments.serving import Json
from simulators.payments.stripe_cards import payment_method

PAGE = """<!doctype html><title>3-D Secure</title><h1>Is it you?</h1>
<form method="post"><button name="outcome" value="succeed">Yes</button>
<button name="outcome" value="fail">No</button></form>"""
OPEN = frozenset({"requires_payment_method", "requires_confirmation", "requires_action"})


class Customers:
    """Who saved what. `tell`: sends a webhook.  `error`: makes what Stripe answers instead."""

    def __init__(
        self, url: str, tell: Callable[[str, Json], None], error: Callable[..., Exception]
    ) -> None:
        self.customers: dict[str, Json] = {}
        self.setups: dict[str, Json] = {}
        self.owners: dict[str, str | None] = {}  # of saved cards; None: detached
        self._url, self._tell, self._error = url, tell, error
        self._numbers = itertools.count(1)

    def routes(self, post: Callable[..., Any], get: Callable[..., Any]) -> list[Route]:
        """The interface. `post`, `get`: wrap a handler as all of Stripe's are."""
        setup = "/v1/setup_intents"
        return [
            Route("/v1/customers", post("customer", self._create), methods=["POST"]),
            Route("/v1/customers/{id}", post("forget", self._delete), methods=["DELETE"]),
            Route(setup, post("setup", self._begin), methods=["POST"]),
            Route(f"{setup}/{{id}}", get(self._fetch)),
            Route(f"{setup}/{{id}}/cancel", post("cancel", self._cancel), methods=["POST"]),
            Route(
                "/v1/payment_methods/{id}/detach", post("forget", self._detach), methods=["POST"]
            ),
            Route("/setup-3ds/{id}", self._authenticate, methods=["GET", "POST"]),
        ]

    def check(self, method: str, customer: str | None) -> None:
        """Raise unless a card may be paid with by that customer."""
        if method in self.owners and (customer is None or self.owners[method] != customer):
            raise self._error(400, "invalid_request_error", "payment_method_unexpected_state")

    async def _create(self, _request: Request, asked: Json) -> Json:
        number = f"cus_{next(self._numbers):08d}"
        made = {"id": number, "object": "customer", "metadata": asked.get("metadata", {})}
        self.customers[number] = made
        return made

    async def _delete(self, request: Request, _asked: Json) -> Json:
        number = request.path_params["id"]
        if self.customers.pop(number, None) is None:
            raise self._missing()
        for method, owner in self.owners.items():
            if owner == number:
                self.owners[method] = None
        return {"id": number, "object": "customer", "deleted": True}

    async def _begin(self, _request: Request, asked: Json) -> Json:
        if asked.get("customer") not in self.customers:
            raise self._missing()
        number = f"seti_{next(self._numbers):08d}"
        intent: Json = {
            "id": number,
            "object": "setup_intent",
            "customer": asked["customer"],
            "usage": asked.get("usage", "off_session"),
            "client_secret": f"{number}_secret_{hashlib.sha256(number.encode()).hexdigest()[:16]}",
            "payment_method": None,
            "return_url": asked.get("return_url"),
            "next_action": None,
            "status": "requires_payment_method",
        }
        self.setups[number] = intent
        if asked.get("confirm") == "true":
            self._confirm(intent, str(asked.get("payment_method")))
        return self._shown(intent)

    def _confirm(self, intent: Json, source: str) -> None:
        if payment_method(source) is None:
            raise self._missing()
        if source == "pm_card_chargeDeclined":
            raise self._error(402, "card_error", "card_declined", decline_code="generic_decline")
        intent["payment_method"] = source
        if source == "pm_card_authenticationRequired":
            url = f"{self._url}/setup-3ds/{intent['id']}"
            redirect = {"url": url, "return_url": intent["return_url"]}
            intent["next_action"] = {"type": "redirect_to_url", "redirect_to_url": redirect}
            intent["status"] = "requires_action"
        else:
            self._save(intent)

    def _save(self, intent: Json) -> None:
        saved = f"{intent['payment_method']}_{intent['id'].replace('_', '')}"
        self.owners[saved] = intent["customer"]
        intent |= {"payment_method": saved, "next_action": None, "status": "succeeded"}
        self._tell("setup_intent.succeeded", self._shown(intent))

    def _fetch(self, request: Request) -> Json:
        return self._shown(self._setup(request))

    async def _cancel(self, request: Request, _asked: Json) -> Json:
        intent = self._setup(request)
        if intent["status"] not in OPEN:
            raise self._error(400, "invalid_request_error", "setup_intent_unexpected_state")
        intent |= {"status": "canceled", "next_action": None}
        return self._shown(intent)

    async def _detach(self, request: Request, _asked: Json) -> Json:
        method = request.path_params["id"]
        if self.owners.get(method) is None:
            raise self._missing()
        self.owners[method] = None
        return self._card(method)

    async def _authenticate(self, request: Request) -> Response:
        intent = self.setups.get(request.path_params["id"])
        if intent is None:
            return JSONResponse({}, 404)
        if request.method == "GET":
            return HTMLResponse(PAGE)
        form = dict(parse_qsl((await request.body()).decode()))
        if intent["status"] == "requires_action":
            if form.get("outcome") == "succeed":
                self._save(intent)
            else:
                intent |= {"status": "requires_payment_method", "next_action": None}
                self._tell("setup_intent.setup_failed", self._shown(intent))
        if intent["return_url"]:
            return RedirectResponse(intent["return_url"], 303)
        return JSONResponse({"status": intent["status"]})

    def _setup(self, request: Request) -> Json:
        found = self.setups.get(request.path_params["id"])
        if found is None:
            raise self._missing()
        return found

    def _card(self, method: str) -> Json:
        found = payment_method(method)
        assert found is not None, "it was looked at before"
        card = {**found["card"], "exp_month": 12, "exp_year": 2034}
        return {**found, "card": card, "customer": self.owners.get(method)}

    def _shown(self, intent: Json) -> Json:
        """With its card, as `expand[]=payment_method` gives it."""
        method = intent["payment_method"]
        return {**intent, "payment_method": self._card(method) if method else None}

    def _missing(self) -> Exception:
        return self._error(404, "invalid_request_error", "resource_missing")
