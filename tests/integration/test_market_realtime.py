"""A book held by WebSocket clients that come and go is the book that its owner has."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator
from typing import Any

import pytest

from api.realtime.hub import Hub
from api.realtime.limits import Limits
from api.realtime.market import MarketOperations
from api.realtime.operations import Operations
from api.realtime.server import RealtimeServer
from domain.market.depth import checksum
from domain.policy import MarketPolicy
from messages.bus import START, parse_position
from messages.market.orders import BookView, DepthLevel, GetBook, OpenTrading, Phase, Side
from messages.users import Role
from storage.realtime import RealtimeStore
from tests.integration.market_support import MarketWorld, open_market
from tests.integration.realtime_support import Client, connected
from tests.integration.rewards_support import until
from tests.unit.market_entities import ARTIST, ISSUE, user
from tests.unit.realtime_support import User

POLICY = MarketPolicy()
USERS = {"artist": ARTIST, "anne": user(1), "bob": user(2)}
FAR = 2**53


def authenticate(token: str) -> User:
    return User(USERS[token], (Role.USER,), FAR)


class Door:
    """A realtime door that follows the outbox of the market."""

    def __init__(self, world: MarketWorld, history: int) -> None:
        self.store = RealtimeStore(world.pool)
        limits = Limits(bye_spread_ms=0, history_events=history)
        self.hub = Hub(limits, self.store.replay)
        operations = Operations()
        MarketOperations(world.handle).register(operations)
        self.server = RealtimeServer(self.hub, operations, authenticate, None)

    async def follow(self) -> None:
        """What a feed does, without the bus between."""
        self.hub.follow("market", START)
        at = START
        while True:
            for event in await self.store.read("market", at, 100):
                self.hub.publish(event)
                at = parse_position(event.position)
            await asyncio.sleep(0.005)

    @property
    def url(self) -> str:
        return f"ws://127.0.0.1:{self.server.port}/"


@contextlib.asynccontextmanager
async def open_door(world: MarketWorld, history: int = 40) -> AsyncIterator[Door]:
    door = Door(world, history)
    await door.server.start()
    following = asyncio.create_task(door.follow())
    newest = await door.store.newest("market")

    async def has_caught_up() -> bool:
        return door.hub.frontier.get("market", START) >= newest

    await until(has_caught_up)
    try:
        yield door
    finally:
        following.cancel()
        await door.server.stop()


@pytest.fixture
async def world(database_url: str) -> AsyncIterator[MarketWorld]:
    async with open_market(database_url) as opened:
        await opened.issue(shares=10_000, retained=5_000, price_minor=250, cap_bps=5_000)
        await opened.fund(*USERS.values(), amount_minor=10**8)
        await opened.ask(OpenTrading())
        opened.now_ms += POLICY.auction_ms

        async def is_open() -> bool:
            view: BookView = await opened.ask(GetBook())
            return view.phase is Phase.CONTINUOUS

        await until(is_open)
        yield opened


class BookClient:
    """Holds a book as docs/realtime.md says."""

    def __init__(self) -> None:
        self.levels: dict[tuple[str, int], int] = {}
        self.number = -1  # none yet
        self.cursor: dict[str, str] | None = None
        self.early: list[dict[str, Any]] = []
        self.trades: list[int] = []
        self.snapshots = self.changes = 0

    async def run(self, url: str, messages: int, goal: int = -2) -> None:
        """One connection, broken off after so many messages, or with change number `goal`."""
        async with connected(url) as client:
            await client.say(
                {"t": "subscribe", "id": "s", "channel": f"book:{ISSUE}", "from": self.cursor}
            )
            if self.number < 0:
                await self.ask(client)
            for _ in range(messages):
                if self.number == goal:
                    break
                await self.take(client, await client.hear())
            client.socket.transport.abort()

    async def ask(self, client: Client) -> None:
        params = {"issue_id": ISSUE}
        await client.say({"t": "call", "id": "d", "op": "market.depth", "params": params})

    async def take(self, client: Client, message: dict[str, Any]) -> None:
        match message["t"]:
            case "subscribed":
                self.cursor = {**message["cursor"], **(self.cursor or {})}
            case "event":
                assert self.cursor is not None
                self.cursor[message["stream"]] = message["offset"]
                if message["type"] == "BookChanged":
                    await self.change(client, message["data"])
            case "resync":
                self.cursor, self.number = message["cursor"], -1
                await self.ask(client)
            case "result":
                self.snapshot(message["data"])
                early, self.early = self.early, []
                for change in early:
                    await self.change(client, change)

    def snapshot(self, book: dict[str, Any]) -> None:
        self.snapshots += 1
        self.number = book["depth_number"]
        rows = (*book["bids"], *book["asks"])
        self.levels = {(side, price): shares for side, price, shares in rows}
        assert self.checksum == book["checksum"]

    async def change(self, client: Client, change: dict[str, Any]) -> None:
        if self.number < 0:
            self.early.append(change)
            return
        if change["depth_number"] <= self.number:
            return
        assert change["after"] <= self.number, "a resumed channel has no gap"
        self.changes += 1
        self.number = change["depth_number"]
        for side, price, shares in change["levels"]:
            self.levels[side, price] = shares
            if not shares:
                del self.levels[side, price]
        self.trades += [trade[0] for trade in change["trades"]]
        assert self.checksum == change["checksum"]

    @property
    def checksum(self) -> int:
        return checksum(DepthLevel(Side(s), p, n) for (s, p), n in self.levels.items())


async def call(client: Client, op: str, params: dict[str, Any], key: str | None = None) -> Any:
    message = {"t": "call", "id": "c", "op": op, "params": {"issue_id": ISSUE, **params}}
    return await client.ask({**message, "key": key} if key else message)


async def told(client: Client, what: str) -> dict[str, Any]:
    """The next event of a type. All that are heard of users are noted."""
    while (message := await client.hear())["t"] != "event" or message["type"] != what:
        pass
    data: dict[str, Any] = message["data"]
    return data


async def say(client: Client, op: str, params: dict[str, Any]) -> None:
    """Call without waiting for the result."""
    given = {"issue_id": ISSUE, **params}
    await client.say({"t": "call", "id": "c", "op": op, "params": given})


async def trade(url: str, who: str, seed: int, orders: int) -> None:
    """Send orders, some of them to be cancelled."""
    chance = random.Random(seed)
    async with connected(url, who) as client:
        for _ in range(orders):
            side = "sell" if who == "artist" else "buy"
            price = 250 + 10 * chance.choice((-1, 0, 1))
            params = {"side": side, "shares": chance.randint(1, 20), "price_minor": price}
            answer = await call(client, "market.place", params)
            assert answer["t"] == "result", answer
            if answer["data"]["left"] and chance.random() < 0.6:
                order_id = {"order_id": answer["data"]["order_id"]}
                await call(client, "market.cancel", order_id)  # or it was filled by now


@pytest.mark.parametrize("seed", [1, 2])
async def test_clients_that_drop_and_resume_have_the_owners_book(
    world: MarketWorld, seed: int
) -> None:
    chance = random.Random(seed)
    async with open_door(world) as door:
        clients = [BookClient(), BookClient()]
        trading = asyncio.gather(*(trade(door.url, who, seed, 40) for who in USERS))

        async def come_and_go(client: BookClient) -> None:
            while not trading.done():
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(0.5 + chance.random()):
                        await client.run(door.url, chance.randint(1, 25))
                await asyncio.sleep(chance.random() * 0.15)

        await asyncio.gather(trading, *map(come_and_go, clients))
        view: BookView = await world.ask(GetBook())
        for client in clients:
            await client.run(door.url, 10_000, view.depth_number)
            assert (client.number, client.checksum) == (view.depth_number, view.checksum)
            assert client.changes > 5
            assert client.trades == sorted(set(client.trades)), "no trade is told twice"
        assert door.hub.counts.resumed_memory + door.hub.counts.resumed_replay
        shown = {(level.side.value, level.price_minor): level.shares
                 for level in (*view.bids, *view.asks)}  # fmt: skip
        assert clients[0].levels == clients[1].levels == shown


async def test_an_order_through_the_socket_happens_once(world: MarketWorld) -> None:
    async with open_door(world) as door, connected(door.url, "anne") as client:
        params = {"side": "buy", "shares": 5, "price_minor": 240}
        first = await call(client, "market.place", params, key="once-and-only")
        async with connected(door.url, "anne") as other:
            again = await call(other, "market.place", params, key="once-and-only")
        assert first["data"] == again["data"]
        order_id = first["data"]["order_id"]
        changed = {"order_id": order_id, "shares": 8, "price_minor": 250}
        replaced = await call(client, "market.replace", changed)
        assert (replaced["data"]["left"], replaced["data"]["limit_minor"]) == (8, 250)
        gone = await call(client, "market.cancel", {"order_id": order_id})
        assert (gone["data"]["status"], gone["data"]["reason"]) == ("cancelled", "user")
        refused = await call(client, "market.cancel", {"order_id": order_id})
        assert (refused["t"], refused["code"]) == ("error", "order-not-found")
        nowhere = await call(client, "market.depth", {"issue_id": "nothing"})
        assert nowhere["code"] == "book-not-found"
        broken = await call(client, "market.place", {**params, "shares": -1})
        assert broken["code"] == "params-invalid"
    async with open_door(world) as door, connected(door.url) as stranger:
        assert (await call(stranger, "market.place", params))["code"] == "unauthenticated"
        assert (await call(stranger, "market.depth", {}))["t"] == "result"


async def test_an_owner_sees_orders_and_holdings_and_nobody_elses(world: MarketWorld) -> None:
    async with (
        open_door(world) as door,
        connected(door.url, "anne") as anne,
        connected(door.url, "artist") as artist,
    ):
        for client, who in ((anne, "anne"), (artist, "artist")):
            assert (await client.subscribe(f"user:{USERS[who]}"))["t"] == "subscribed"
        selling = {"side": "sell", "shares": 5, "price_minor": 260}
        await say(artist, "market.place", selling)
        sold = await told(artist, "OrderChanged")
        assert (sold["status"], (await told(artist, "HoldingChanged"))["held"]) == ("open", 5)
        await say(anne, "market.place", {"side": "buy", "shares": 1, "price_minor": 260})
        assert (await told(anne, "HoldingChanged"))["available"] == 1
        filled = await told(artist, "OrderChanged")
        assert (filled["order_id"], filled["filled"]) == (sold["order_id"], 1)
        assert {filled["user_id"], sold["user_id"]} == {ARTIST}
