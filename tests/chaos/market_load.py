"""Fans who trade through the HTTP door while things die, and remember every answer they got."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Callable
from typing import Any

from demo.client import Api, Letters, Refused
from tests.chaos.load import PASSWORD, PATIENCE_S, SIGN_IN_AGAIN, Done

PRICE_MINOR, TICK_MINOR, SPREAD = 1_000, 5, 5  # a spread within the book's bands
CASH_MINOR = 10_000_000
SHARES_EACH = 400
OPEN_MOST = 12  # of a trader
CURRENCY = "GBP"  # the demo has another
TERMS = {
    "currency": CURRENCY,
    "shares": 10_000,
    "retained": 2_000,
    "price_minor": PRICE_MINOR,
    "tick_minor": TICK_MINOR,
    "cap_bps": 5_000,
}
# What an order may be answered with at any time; the trader goes on.
GONE = "order-not-found"  # filled before the trader heard of it
REFUSALS = {
    GONE,
    "book-halted",
    "book-in-auction",
    "order-price-band",
    "order-quantity",
    "insufficient-shares",
}


async def open_market(url: str, song_id: str, password: str, traders: list[Trader]) -> str:
    """Issue the song's shares, sell some to each trader, open the book. The issue's id."""
    async with Api(url) as artist, Api(url) as admin:
        await artist.sign_in("demo-artist", password)
        await admin.sign_in("demo-admin", password)
        issue_id: str = (await artist.post("/issues", {"song_id": song_id, **TERMS}))["issue_id"]
        await admin.post(f"/issues/{issue_id}/activation", {})
        for trader in traders:
            await trader.enter(admin, issue_id)
        await admin.post(f"/books/{issue_id}/opening", {})
    return issue_id


class Trader:
    """Places, replaces and cancels orders around one price; each is sent until it is answered."""

    def __init__(self, url: str, letters: Letters, name: str, seed: int) -> None:
        self._url = url
        self._letters = letters
        self._name = name
        self._chance = random.Random(seed)
        self._issue_id = ""
        self.user_id = ""
        self.orders: dict[int, dict[str, Any]] = {}  # as last heard of
        self.refused: Counter[str] = Counter()

    async def enter(self, admin: Api, issue_id: str) -> None:
        """Register, be given cash, buy shares."""
        self._issue_id = issue_id
        async with Api(self._url, PATIENCE_S) as api:
            body = {"username": self._name, "email": f"{self._name}@example.org"}
            new = {**body, "password": PASSWORD}
            await api.register(self._letters, new, key=f"new-{self._name}")
            await api.sign_in(self._name, PASSWORD)
            self.user_id = api.user_id
            credit = {"user_id": api.user_id, "currency": CURRENCY, "amount_minor": CASH_MINOR}
            await admin.post("/treasury/credits", credit, key=f"cash-{self._name}")
            bought = {"shares": SHARES_EACH, "price_minor": PRICE_MINOR}
            await api.post(f"/issues/{issue_id}/purchases", bought, key=f"buy-{self._name}")

    async def run(self, done: Done) -> None:
        """Trade until `done`; the last order is answered, too."""
        number = 0
        async with Api(self._url, PATIENCE_S) as api:
            await api.sign_in(self._name, PASSWORD)
            while not done():
                number += 1
                await self._order(api, f"{self._name}-order-{number}")
                await asyncio.sleep(0.02)

    async def _order(self, api: Api, key: str) -> None:
        books = f"/books/{self._issue_id}/orders"
        live = [n for n, order in self.orders.items() if order["status"] == "open"]
        drawn = self._chance.random()
        if live and (drawn < 0.3 or len(live) >= OPEN_MOST):
            of = self._chance.choice(live)
            await self._send(api, lambda: api.delete(f"{books}/{of}", key), of)
        elif live and drawn < 0.4:
            of = self._chance.choice(live)
            change = {"shares": self._chance.randint(1, 9), "price_minor": self._price()}
            await self._send(api, lambda: api.post(f"{books}/{of}/replacement", change, key), of)
        else:
            body = {
                "side": self._chance.choice(("buy", "sell")),
                "shares": self._chance.randint(1, 9),
                "price_minor": self._price(),
                "time_in_force": self._chance.choice(("gtc", "gtc", "gtc", "ioc")),
            }
            await self._send(api, lambda: api.post(books, body, key))

    def _price(self) -> int:
        return PRICE_MINOR + TICK_MINOR * self._chance.randint(-SPREAD, SPREAD)

    async def _send(self, api: Api, ask: Callable[[], Any], of: int = 0) -> None:
        while True:
            try:
                order = await ask()
            except Refused as refused:
                if refused.code in SIGN_IN_AGAIN:
                    await api.sign_in(self._name, PASSWORD)
                    continue
                if refused.code not in REFUSALS:
                    raise
                self.refused[refused.code] += 1
                if refused.code == GONE:
                    self.orders[of]["status"] = "gone"
            else:
                self.orders[order["order_id"]] = order
            return
