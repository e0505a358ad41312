"""Load through the real doors, by clients that never give up and remember every answer they got.

Each change has a key of its own and is sent until it is answered, so in the end what clients know
and what the engine holds must be the same.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from typing import Any

from websockets.exceptions import WebSocketException

from demo.client import Api, Letters, Realtime, Refused, open_realtime
from simulators.proofs import VERSION, Prover, scalar

PATIENCE_S = 180.0
PAUSE_S = 0.2
SESSIONS_A_USER = 40  # DOMAIN rewards at most 50 a day
PASSING = {"unavailable", "overloaded", "unreachable", "502", "503", "504"}
SIGN_IN_AGAIN = {"token-expired", "token-invalid", "unauthenticated"}
PASSWORD = "chaos reigns but money stays"

Done = Callable[[], bool]


class Funder:
    """Pays one unit after another into a pool."""

    def __init__(self, url: str, name: str, pool_id: str, admin_password: str) -> None:
        self._url = url
        self._name = name
        self._path = f"/reward-pools/{pool_id}/fundings"
        self._password = admin_password
        self.acknowledged_minor: list[int] = []

    async def run(self, done: Done) -> None:
        """Fund until `done`; the last one is acknowledged, too."""
        async with Api(self._url, PATIENCE_S) as api:
            await api.sign_in("demo-admin", self._password)
            while not done():
                number = len(self.acknowledged_minor) + 1
                body = {"amount_minor": number, "source": "treasury"}
                await self._fund(api, body, f"chaos-{self._name}-{number}")
                self.acknowledged_minor.append(number)

    async def _fund(self, api: Api, body: dict[str, Any], key: str) -> None:
        while True:
            try:
                await api.post(self._path, body, key=key)
            except Refused as refused:
                if refused.code not in SIGN_IN_AGAIN:
                    raise
                await api.sign_in("demo-admin", self._password)
            else:
                return


class Fan:
    """Listens to a short song and claims, again and again; reconnects as often as needed.

    Its claims are proved by the test key's trapdoor: real proofs of what was never listened to,
    on roots that the tree really has.
    """

    def __init__(
        self,
        url: str,
        letters: Letters,
        name: str,
        song: dict[str, Any],
        pool_id: str,
        prover: Prover,
    ) -> None:
        self._url = url
        self._letters = letters
        self._name = name
        self._song = song
        self._pool_id = pool_id
        self._prover = prover
        self.user = ""
        self.ended: dict[str, dict[str, Any]] = {}
        self.claimed: dict[str, dict[str, Any]] = {}
        self.reconnects = 0

    async def run(self, done: Done) -> None:
        """Listen until `done`; every few dozen sessions as another user."""
        generation = 0
        while not done():
            self.user = f"{self._name}-{generation}"
            async with Api(self._url, PATIENCE_S) as api, AsyncExitStack() as stack:
                body = {"username": self.user, "email": f"{self.user}@example.org"}
                new = {**body, "password": PASSWORD}
                await api.register(self._letters, new, key=f"new-{self.user}")
                line = _Line(self, api, stack)
                await self._identify(line, api)
                for number in range(SESSIONS_A_USER):
                    if done():
                        return
                    await self._session(line, number)
                    await self._claim(line, api, number)
            generation += 1

    async def _identify(self, line: _Line, api: Api) -> None:
        commitment = {"commitment": str(scalar(self.user))}
        await line.send(lambda: api.put("/users/me/identity", commitment))

    async def _claim(self, line: _Line, api: Api, number: int) -> None:
        """Claim something once the tree has leaves; what was acknowledged is remembered."""
        pool = f"/reward-pools/{self._pool_id}"
        epoch = (await line.send(lambda: api.get(pool)))["epoch"]
        tree = await line.send(lambda: api.get(f"{pool}/epochs/{epoch}"))
        if tree["root"] is None:
            return
        terms = await line.send(lambda: api.get("/rewards/claims/terms"))
        nullifier, recipient = scalar("spent", self.user, number), uuid.UUID(api.user_id).int
        shortest = min(terms["steps_ms"])
        signals = [nullifier, int(tree["root"]), shortest, terms["max_gap_ms"], recipient, epoch]
        body = {
            "pool_id": self._pool_id,
            "key_version": VERSION,
            "proof": await asyncio.to_thread(self._prover.prove, signals),
            "public_signals": [str(value) for value in signals],
        }
        key = f"{self.user}-claim-{number}"
        paid = await line.send(lambda: api.post("/rewards/claims", body, key=key))
        assert paid["nullifier"] == str(nullifier)
        self.claimed[str(nullifier)] = paid

    async def _session(self, line: _Line, number: int) -> None:
        device = {"device_id": "chaos"}
        key = f"{self.user}-session-{number}"
        start = {"song_id": self._song["song_id"], **device}
        shown = await line.call("listening.start", start, f"{key}-start")
        named = {"session_id": shown["session_id"], **device}
        for index in range(4):
            ticket = shown["ticket"]
            if ticket is None:
                break
            await asyncio.sleep(ticket["due_in_ms"] / 1000)
            position_ms = (index + 1) * 250 % self._song["duration_ms"]
            beat = {"index": index, "nonce": ticket["nonce"], "position_ms": position_ms}
            shown = await line.call("listening.beat", {**named, **beat}, f"{key}-beat-{index}")
        ended = await line.call("listening.end", named, f"{key}-end")
        self.ended[ended["session_id"]] = ended


class _Line:
    """A fan's realtime connection."""

    def __init__(self, fan: Fan, api: Api, stack: AsyncExitStack) -> None:
        self._fan = fan
        self._api = api
        self._stack = stack
        self._realtime: Realtime | None = None

    async def call(self, operation: str, params: dict[str, Any], key: str) -> Any:
        """The result, however often it has to be asked for."""

        async def ask() -> Any:
            realtime = await self._open()
            return await realtime.call(operation, params, key)

        return await self.send(ask, connect=False)

    async def send(self, ask: Callable[[], Awaitable[Any]], connect: bool = True) -> Any:
        """What `ask` returns in the end. `connect`: it needs a signed-in user, seen to here."""

        async def signed_in() -> Any:
            await self._open()
            return await ask()

        async with asyncio.timeout(PATIENCE_S):
            return await self._until_answered(signed_in if connect else ask)

    async def _until_answered(self, ask: Callable[[], Awaitable[Any]]) -> Any:
        while True:
            try:
                return await ask()
            except Refused as refused:
                if refused.code not in PASSING | SIGN_IN_AGAIN:
                    raise
                if refused.code in SIGN_IN_AGAIN:
                    self._realtime = None
            except (OSError, WebSocketException, TimeoutError):
                self._realtime = None
            await asyncio.sleep(PAUSE_S)

    async def _open(self) -> Realtime:
        if self._realtime is None:
            self._fan.reconnects += 1
            await self._stack.aclose()
            await self._api.sign_in(self._fan.user, PASSWORD)
            self._realtime = await self._stack.enter_async_context(open_realtime(self._api))
        return self._realtime
