"""The listening and rewards contexts on the real runtime, ledger, bus and stores; time by hand."""

from __future__ import annotations

import asyncio
import itertools
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import cache, partial
from typing import Any

import asyncpg
import msgspec
from prometheus_client import CollectorRegistry

from actors.listening import ListeningKind
from actors.proof_verifier import ProofVerifier
from actors.reward_saga import RewardListenHandler
from actors.rewards import ListenersKind, PayeesKind, PoolsKind
from actors.runtime.handle import Handle
from actors.runtime.host import Host
from actors.runtime.kind import EntityKind
from actors.runtime.limits import Limits
from actors.runtime.metrics import HandleMetrics
from actors.runtime.placement import assign
from actors.runtime.transport_local import LocalTransport
from bus.stream_redis import RedisStream
from bus.worker import Worker
from deployments.composition.kernels import load_hashes
from domain.policy import ListeningPolicy, RewardPolicy
from domain.rewards.listeners import Policies
from domain.statement import element_of
from kernels import groth16
from messages.keys import derive_id, derive_key
from messages.listening import Beat, EndListening, SessionView, Tier
from messages.rewards import (
    TREASURY,
    AdmitClaims,
    Claim,
    ClaimsAdmitted,
    ClaimsDecided,
    FundPool,
    GetPool,
    OpenPool,
    PayClaims,
    PoolView,
)
from simulators.proofs import VERSION, Prover
from storage import ledger, placement, rewards_claims
from storage.bus import BusStore
from storage.database import Pool, open_pool
from tests.integration.bus_support import QUICK
from tests.unit.listening_player import T0, USER, start

DAY_MS = 86_400_000
VIBES = 1_000_000
POOL = "0197a000-0000-7000-8000-00000000000c"
LIMITS = Limits(reminder_poll_ms=20)
READ_ALL = """
select stream, type, entity_id, channels, body from bus.outbox order by xid, id"""


@cache
def prover() -> Prover:
    """Proves whatever it is asked to, under the test key that `kinds` verify with."""
    return Prover()


@cache
def verifier() -> ProofVerifier:
    """Verifies in earnest, under the test key."""
    key = groth16.parse_key(prover().verification_key())
    made = ProofVerifier({VERSION: key}, secrets.token_bytes)
    made.warm()
    load_hashes()
    return made


def kinds() -> list[EntityKind[Any, Any, Any]]:
    policy = RewardPolicy()
    return [
        ListeningKind(ListeningPolicy()),
        PoolsKind(policy, verifier()),
        ListenersKind(Policies(reward=policy)),
        PayeesKind(policy),
    ]


@dataclass
class World:
    """A host, handles to its kinds, and a bus that runs the process between them."""

    pool: Pool
    host: Host
    transport: LocalTransport
    handles: dict[str, Handle]
    now_ms: int = T0
    keys: Any = field(default_factory=itertools.count)

    def clock(self) -> int:
        return self.now_ms

    async def ask(self, kind: str, entity_id: str, command: Any) -> Any:
        key = derive_key("test", next(self.keys))
        return await self.handles[kind].ask(entity_id, command, key=key)

    async def open_pool(self, vibes: int = 1_000) -> None:
        await self.ask("pools", POOL, OpenPool(POOL, "Everyone", 7 * DAY_MS))
        await self.ask("pools", POOL, FundPool("funding-1", TREASURY, vibes * VIBES))

    async def listen(
        self, number: int, seconds: int, user: str = USER, device: str = "phone", **changes: Any
    ) -> SessionView:
        """A whole session, beat by beat."""
        entity = f"{user}:{device}"
        command = start(number, **changes)
        view = await self.ask("listening", entity, command)
        began = self.now_ms
        while self.now_ms + 10_000 <= began + seconds * 1000:
            self.now_ms += 10_000 + self.now_ms % 7
            beat = Beat(view.session_id, view.ticket.index, view.ticket.nonce, self.now_ms - began)
            view = await self.ask("listening", entity, beat)
        self.now_ms = max(self.now_ms, began + seconds * 1000)
        ended: SessionView = await self.ask("listening", entity, EndListening(view.session_id))
        return ended

    async def signals(
        self, nullifier: int, user: str = USER, pool_id: str = POOL, **changes: int
    ) -> tuple[str, ...]:
        """Signals of a claim on the pool's present tree, once it has a leaf."""
        view: PoolView = await self.ask("pools", pool_id, GetPool())
        epoch = changes.pop("epoch", view.epoch)
        row = await rewards_claims.get_epoch(self.pool, pool_id, epoch)
        facts = {
            "nullifier": nullifier,
            "root": int(row.root) if row and row.root else 0,
            "min_played_ms": 60_000,
            "max_gap_ms": RewardPolicy().max_gap_ms,
            "recipient": element_of(user),
            "epoch": epoch,
        }
        return tuple(str(value) for value in {**facts, **changes}.values())

    async def grown(self, leaves: int, pool_id: str = POOL) -> None:
        """Wait until the pool's present tree has so many leaves."""

        async def there() -> bool:
            view: PoolView = await self.ask("pools", pool_id, GetPool())
            row = await rewards_claims.get_epoch(self.pool, pool_id, view.epoch)
            return row is not None and row.leaves >= leaves

        await until(there)

    async def claim(
        self, *signals: tuple[str, ...], user: str = USER, tier: Tier = Tier.FREE, **changes: Any
    ) -> ClaimsDecided:
        """What a gateway does with claims: admission, then payment."""
        pool_id = changes.pop("pool_id", POOL)
        payment_id = derive_id("test-payment", next(self.keys))
        played_ms = tuple(int(claim[2]) for claim in signals)
        admitted: ClaimsAdmitted = await self.ask(
            "listeners", user, AdmitClaims(payment_id, played_ms, tier, "Europe/Madrid")
        )
        facts: dict[str, Any] = {
            "payment_id": payment_id,
            "user_id": user,
            "tier": tier,
            "allowance_minor": admitted.allowance_minor,
            "key_version": VERSION,
            "claims": tuple(proved(claim) for claim in signals[: admitted.claims]),
        }
        decided: ClaimsDecided = await self.ask("pools", pool_id, PayClaims(**{**facts, **changes}))
        return decided

    async def balances(self, *codes: str) -> list[int]:
        async with self.pool.acquire() as connection:
            held = await ledger.balances(connection, codes)
        return [held[code] for code in codes]

    async def events(self) -> list[tuple[asyncpg.Record, Any]]:
        """All that was published, with its body decoded."""
        rows = await self.pool.fetch(READ_ALL)
        return [(row, msgspec.json.decode(row["body"])) for row in rows]

    async def restart_host(self) -> None:
        """The host dies with all its memory; another takes over under its name."""
        self.transport.kill("host")
        await self.host.abandon()
        self.host = Host("host", kinds(), self.pool, self.clock, LIMITS)
        await self.host.start()
        self.transport.add("host", self.host)

    async def verify(self) -> None:
        """The ledger sums to zero and no balance differs from its postings."""
        async with self.pool.acquire() as connection:
            assert await ledger.verify(connection) == []


def proved(signals: tuple[str, ...], chance: str = "") -> Claim:
    """A claim with a proof of its signals."""
    proof = prover().prove([int(value) for value in signals], chance)
    return Claim(msgspec.json.encode(proof), signals)


@asynccontextmanager
async def open_world(database_url: str, redis_url: str) -> AsyncIterator[World]:
    pool = await open_pool(database_url, max_size=12)
    for kind in kinds():
        await placement.ensure(pool, kind.name, assign(kind.name, kind.partitions, ["host"]))
    transport, metrics = LocalTransport(), HandleMetrics()
    reader = partial(placement.read, pool)
    handles = {kind.name: Handle(kind, transport, reader, metrics=metrics) for kind in kinds()}
    world = World(pool, None, transport, handles)  # type: ignore[arg-type]
    world.host = Host("host", kinds(), pool, world.clock, LIMITS)
    await world.host.start()
    transport.add("host", world.host)
    store = await BusStore.open(database_url, max_size=4)
    broker = RedisStream(redis_url)
    handler = RewardListenHandler(handles)
    worker = Worker(
        "bus", store, broker, [handler], (), world.clock,
        registry=CollectorRegistry(), limits=QUICK,
    )  # fmt: skip
    await worker.start()
    try:
        yield world
    finally:
        await worker.stop()
        await broker.close()
        for handle in handles.values():
            await handle.close()
        await world.host.stop()
        await store.close()
        await pool.close()


async def until(condition: Callable[[], Awaitable[bool]], seconds: float = 30) -> None:
    """Poll a condition; TimeoutError if it does not come true."""
    async with asyncio.timeout(seconds):
        while not await condition():  # noqa: ASYNC110 - the condition is in a database
            await asyncio.sleep(0.02)
