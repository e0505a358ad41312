"""The demo's market: the shares of one song, sold to fans and traded in an order book.

Its fans were given euros by the platform, as no payment provider is connected yet. The book opens
with a call auction of a minute; what crosses then trades at one price, the rest waits.
"""

from __future__ import annotations

from typing import Any

from demo.client import Api
from demo.player import Tell

CASH_MINOR = 500_000
TERMS: dict[str, Any] = {
    "currency": "EUR",
    "shares": 1_000,
    "retained": 400,
    "price_minor": 1_000,
    "tick_minor": 5,
    "minimum": 1,
    "cap_bps": 2_000,
}
BOUGHT = {"demo-fan": 60, "demo-trader": 150}
# Who wants what: (side, shares, price). The first of each side meet in the auction.
ORDERS = {
    "demo-fan": [("buy", 20, 1_010), ("buy", 15, 990), ("buy", 30, 980), ("buy", 50, 950)],
    "demo-trader": [
        ("sell", 20, 1_000),
        ("sell", 10, 1_020),
        ("sell", 25, 1_030),
        ("sell", 40, 1_060),
    ],
}


async def open_market(
    admin: Api, artist: Api, fans: dict[str, Api], song_id: str, tell: Tell
) -> None:
    """Issue the song's shares, sell some, open the book, place orders; nothing if it was done."""
    if (await artist.get(f"/issues?song_id={song_id}"))["items"]:
        return
    drafted = {"song_id": song_id, **TERMS}
    issue_id = (await artist.post("/issues", drafted, key="demo-issue"))["issue_id"]
    await admin.post(f"/issues/{issue_id}/activation", {}, key="demo-issue-activation")
    for name, fan in fans.items():
        credit = {"user_id": fan.user_id, "currency": TERMS["currency"], "amount_minor": CASH_MINOR}
        await admin.post("/treasury/credits", credit, key=f"{name}-cash")
        bought = {"shares": BOUGHT[name], "price_minor": TERMS["price_minor"]}
        await fan.post(f"/issues/{issue_id}/purchases", bought, key=f"{name}-purchase")
    await admin.post(f"/books/{issue_id}/opening", {}, key="demo-book-opening")
    for name, fan in fans.items():
        for number, (side, shares, price_minor) in enumerate(ORDERS[name]):
            order = {"side": side, "shares": shares, "price_minor": price_minor}
            await fan.post(f"/books/{issue_id}/orders", order, key=f"{name}-order-{number}")
    tell(f"opened the order book of its shares: /api/v1/books/{issue_id}/depth")
