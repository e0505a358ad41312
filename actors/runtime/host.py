"""A host: the partitions of several kinds in one process. Wrapped as an actor by `deployments`."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

import structlog
from prometheus_client import generate_latest

from actors.runtime.codec import Health, decode_payload, encode, error_answer
from actors.runtime.errors import MalformedCommand, NotOwner
from actors.runtime.kind import EntityKind
from actors.runtime.lane import Lane
from actors.runtime.limits import MAX_ENTITY_ID_CHARS, MAX_KEY_BYTES, Limits
from actors.runtime.mail import Call, Item
from actors.runtime.metrics import HostMetrics
from actors.runtime.ownership import Identity
from actors.runtime.timers import TimerPoll
from messages.envelope import CommandEnvelope
from messages.errors import Overloaded, Unavailable
from messages.keys import partition_of
from storage import placement
from storage.database import Pool

logger = structlog.get_logger(__name__)


class Host:
    """Owns the partitions that are placed on its name. All methods run in one event loop.

    The pool needs a connection for each lane of each kind, and two more.
    """

    def __init__(
        self,
        name: str,
        kinds: Sequence[EntityKind[Any, Any, Any]],
        pool: Pool,
        clock: Callable[[], int],
        limits: Limits | None = None,
        metrics: HostMetrics | None = None,
    ) -> None:
        self._identity = Identity(name)
        self._kinds = {kind.name: kind for kind in kinds}
        self._pool = pool
        self._clock = clock
        self._limits = limits or Limits()
        self.metrics = metrics or HostMetrics()
        self._lanes: dict[str, list[Lane]] = {}
        self._tasks: list[asyncio.Task[None]] = []
        self._accepts = False

    async def start(self) -> None:
        """Become the one that this name stands for. Raises one of CONNECTION_ERRORS."""
        identity = self._identity
        identity.incarnation = await placement.register(self._pool, identity.name, self._clock())
        for kind in self._kinds.values():
            lanes = [self._lane(kind) for _ in range(self._limits.lanes)]
            self._lanes[kind.name] = lanes
            self._tasks += [asyncio.create_task(lane.run()) for lane in lanes]
            self._tasks.append(asyncio.create_task(self._timers(kind).run()))
        self._tasks.append(asyncio.create_task(self._tick()))
        self._accepts = True
        logger.info("host_started", host=identity.name, incarnation=identity.incarnation)

    async def call(self, payload: bytes) -> bytes:
        """Answer commands: msgpack `[kind, [CommandEnvelope…]]` in, msgpack `[Answer…]` out.

        Returns when all are answered. Raises msgspec.DecodeError for what is no payload.
        """
        kind_name, envelopes = decode_payload(payload)
        call = Call(len(envelopes))
        kind = self._kinds.get(kind_name)
        if kind is None or self._identity.retired or not self._accepts:
            refusal = error_answer(NotOwner(retry_after_ms=self._limits.retry_after_ms))
            return encode([refusal] * len(envelopes))
        room = max(0, self._limits.mailbox_commands - self._waiting())
        self._deliver(kind, call, envelopes[:room])
        if room < len(envelopes):
            overloaded = error_answer(Overloaded(retry_after_ms=self._limits.retry_after_ms))
            for index in range(room, len(envelopes)):
                call.answered(index, overloaded)
        await call.done
        return encode(call.answers)

    async def health(self) -> bytes:
        """The msgpack of a `Health`."""
        lanes = self._lanes.items()
        return encode(
            Health(
                name=self._identity.name,
                incarnation=self._identity.incarnation,
                retired=self._identity.retired,
                partitions={kind: sum(lane.partitions for lane in own) for kind, own in lanes},
                entities=sum(lane.entities for _, own in lanes for lane in own),
                mailbox=self._waiting(),
            )
        )

    async def scrape(self) -> bytes:
        """The metrics in Prometheus' text format."""
        for kind, lanes in self._lanes.items():
            self.metrics.entities.labels(kind).set(sum(lane.entities for lane in lanes))
            self.metrics.mailbox.labels(kind).set(sum(lane.waiting for lane in lanes))
        return generate_latest(self.metrics.registry)

    async def stop(self) -> None:
        """Answer what has arrived, as far as time allows, and let go of everything."""
        self._accepts = False
        with suppress(TimeoutError):
            async with asyncio.timeout(self._limits.stop_ms / 1000):
                await self._all_answered()
        await self.abandon()
        for lanes in self._lanes.values():
            for lane in lanes:
                lane.fail_all(Unavailable("the host stops", retry_after_ms=1_000))

    async def abandon(self) -> None:
        """End at once, in the middle of whatever is under way; nobody gets an answer."""
        self._accepts = False
        tasks, self._tasks = self._tasks, []
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _all_answered(self) -> None:
        while self._waiting():  # noqa: ASYNC110 - once in a host's life
            await asyncio.sleep(0.005)

    def _waiting(self) -> int:
        return sum(lane.waiting for lanes in self._lanes.values() for lane in lanes)

    def _deliver(
        self, kind: EntityKind[Any, Any, Any], call: Call, envelopes: Sequence[CommandEnvelope]
    ) -> None:
        partitions, most = kind.partitions, self._limits.command_bytes
        items = []
        for index, envelope in enumerate(envelopes):
            if why := _malformed(envelope, most):
                call.answered(index, error_answer(MalformedCommand(why)))
                continue
            entity_id = envelope.entity_id
            partition = partition_of(entity_id, partitions)
            items.append(Item(call, index, envelope.key, entity_id, partition, envelope.body))
        self._post(kind.name, items)

    def _post(self, kind: str, items: list[Item]) -> None:
        lanes = self._lanes[kind]
        if len(lanes) == 1:
            lanes[0].put(items)
            return
        for number, lane in enumerate(lanes):
            own = [item for item in items if item.partition % len(lanes) == number]
            if own:
                lane.put(own)

    def _lane(self, kind: EntityKind[Any, Any, Any]) -> Lane:
        return Lane(kind, self._identity, self._pool, self._clock, self._limits, self.metrics)

    def _timers(self, kind: EntityKind[Any, Any, Any]) -> TimerPoll:
        def post(items: list[Item]) -> None:
            self._post(kind.name, items)

        return TimerPoll(
            kind, self._identity, self._pool, self._clock, self._limits, self.metrics, post
        )

    async def _tick(self) -> None:
        while True:
            await asyncio.sleep(self._limits.sweep_ms / 1000)
            for lanes in self._lanes.values():
                for lane in lanes:
                    lane.tick()


def _malformed(envelope: CommandEnvelope, most_bytes: int) -> str:
    """What is wrong with an envelope; empty if nothing is."""
    if not 0 < len(envelope.key) <= MAX_KEY_BYTES:
        return f"a key has 1 to {MAX_KEY_BYTES} bytes"
    if not 0 < len(envelope.entity_id) <= MAX_ENTITY_ID_CHARS or "\0" in envelope.entity_id:
        return f"an entity id has 1 to {MAX_ENTITY_ID_CHARS} characters"
    if len(envelope.body) > most_bytes:
        return f"a command has at most {most_bytes} bytes"
    return ""
