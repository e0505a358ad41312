"""The typed handle through which everything else reaches entities.

A call to a host costs about a millisecond whatever it carries, so commands that arrive while calls
are under way leave together in the next one. A command whose host is gone, has lost the partition
or does not answer is asked again, with the same key, until its deadline.
"""

from __future__ import annotations

import asyncio
import random
from collections import deque
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any

import structlog

from actors.runtime.codec import Codec, decode_answers, encode
from actors.runtime.errors import NotOwner
from actors.runtime.kind import EntityKind
from actors.runtime.limits import HandleLimits
from actors.runtime.metrics import HandleMetrics
from actors.runtime.transport import HostUnreachable, Transport
from messages.envelope import Answer, CommandEnvelope
from messages.errors import Overloaded, Unavailable, VibeStreamError, rebuild_error
from messages.keys import partition_of

logger = structlog.get_logger(__name__)

# Reads where a kind's partitions are: partition → host.
PlacementReader = Callable[[str], Awaitable[Mapping[int, str]]]


class _Asked:
    """A command that waits for its answer."""

    __slots__ = ("attempts", "deadline", "envelope", "future", "partition")

    def __init__(self, envelope: CommandEnvelope, partition: int, deadline: float) -> None:
        self.envelope = envelope
        self.partition = partition
        self.deadline = deadline
        self.attempts = 0
        self.future: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()

    def expire(self) -> None:
        """The deadline has come."""
        if not self.future.done():
            detail = "no answer in time; whether the command was carried out is not known"
            self.future.set_exception(Unavailable(detail, retry_after_ms=1_000))


class _Line:
    """What waits for one host, and how many calls to it are under way."""

    __slots__ = ("calls", "is_scheduled", "waiting")

    def __init__(self) -> None:
        self.waiting: deque[_Asked] = deque()
        self.calls = 0
        self.is_scheduled = False


class Handle:
    """Asks the entities of one kind. One a process and kind; all methods run in one event loop."""

    def __init__(
        self,
        kind: EntityKind[Any, Any, Any],
        transport: Transport,
        placement: PlacementReader,
        limits: HandleLimits | None = None,
        metrics: HandleMetrics | None = None,
    ) -> None:
        self._kind = kind
        self._decode = Codec(kind).answer
        self._transport = transport
        self._read_placement = placement
        self._limits = limits or HandleLimits()
        self.metrics = metrics or HandleMetrics()
        self._placement: Mapping[int, str] = {}
        self._refreshing: asyncio.Task[None] | None = None
        self._lines: dict[str, _Line] = {}
        self._homeless: list[_Asked] = []
        self._pending = 0
        # Asks with the usual time, the first to expire first: one timer watches them all.
        self._expiring: deque[_Asked] = deque()
        self._alarm: asyncio.TimerHandle | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._ok = self.metrics.asks.labels(kind.name, "ok")

    async def ask(
        self, entity_id: str, command: Any, *, key: bytes, timeout_ms: int | None = None
    ) -> Any:
        """The entity's answer, once it is durable. The same `key` gives the same answer again.

        Raises:
            Refusal: the command was refused; nothing changed.
            Overloaded: a queue is full, here or at the host.
            Unavailable: no answer within `timeout_ms`. Ask again with the same key.
            VibeStreamError: the engine failed on this command.
        """
        if self._pending >= self._limits.pending_commands:
            raise self._overloaded(1)
        asked = self._asked(entity_id, command, key, timeout_ms)
        self._pending += 1
        timer = self._watch(asked, is_usual=timeout_ms is None)
        try:
            self._send(asked)
            answer = await self._outcome(asked)
        finally:
            self._pending -= 1
            if timer is not None:
                timer.cancel()
        if isinstance(answer, VibeStreamError):
            raise answer
        return answer

    def ask_soon(
        self, entity_id: str, command: Any, *, key: bytes, told: Callable[[Any], None]
    ) -> asyncio.Future[Any]:
        """Ask, and have `told` called once with the answer, or with the error instead.

        No task waits, which costs more than all else that is done here for a command. Raises
        Overloaded. What is returned is done when the answer is there; it may be cancelled.
        """
        if self._pending >= self._limits.pending_commands:
            raise self._overloaded(1)
        asked = self._asked(entity_id, command, key)
        self._pending += 1

        def done(future: asyncio.Future[Answer]) -> None:
            self._pending -= 1
            if not future.cancelled():
                told(self._taken(future))

        asked.future.add_done_callback(done)
        self._watch(asked, is_usual=True)
        self._send(asked)
        return asked.future

    async def ask_all(self, entity_id: str, commands: Sequence[tuple[Any, bytes]]) -> list[Any]:
        """The answers to several commands, each with its key; where there is none, the error.

        They leave in order. Cheaper than as many calls of `ask`, each in a task.
        """
        count = len(commands)
        if self._pending + count > self._limits.pending_commands:
            return [self._overloaded(count)] * count
        asks = [self._asked(entity_id, command, key) for command, key in commands]
        self._pending += count
        try:
            for asked in asks:
                self._watch(asked, is_usual=True)
                self._send(asked)
            return [await self._outcome(asked) for asked in asks]
        finally:
            self._pending -= count

    async def close(self) -> None:
        """Give up what is under way; whoever waits gets Unavailable."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for line in self._lines.values():
            _fail(line.waiting)
        _fail(self._homeless)
        if self._alarm is not None:
            self._alarm.cancel()

    def _asked(
        self, entity_id: str, command: Any, key: bytes, timeout_ms: int | None = None
    ) -> _Asked:
        seconds = (self._limits.ask_ms if timeout_ms is None else timeout_ms) / 1000
        envelope = CommandEnvelope(key, entity_id, encode(command))
        partition = partition_of(entity_id, self._kind.partitions)
        return _Asked(envelope, partition, asyncio.get_running_loop().time() + seconds)

    async def _outcome(self, asked: _Asked) -> Any:
        """The answer, or the error instead."""
        with suppress(Unavailable):
            await asked.future
        return self._taken(asked.future)

    def _taken(self, future: asyncio.Future[Answer]) -> Any:
        error = future.exception()
        if error is not None:
            assert isinstance(error, Unavailable), "a future fails when nothing answers"
            self.metrics.asks.labels(self._kind.name, error.code).inc()
            return error
        answer = future.result()
        if answer.code:
            self.metrics.asks.labels(self._kind.name, answer.code).inc()
            return rebuild_error(answer.code, answer.detail, answer.params)
        return self._decode(answer.body) if answer.body else None

    def _overloaded(self, count: int) -> Overloaded:
        self.metrics.asks.labels(self._kind.name, Overloaded.code).inc(count)
        return Overloaded(retry_after_ms=self._limits.retry_after_ms)

    # --- deadlines --------------------------------------------------------------------------------

    def _watch(self, asked: _Asked, *, is_usual: bool) -> asyncio.TimerHandle | None:
        """Have it expire in time. Returns the timer if it has one of its own."""
        loop = asyncio.get_running_loop()
        if not is_usual:
            return loop.call_at(asked.deadline, asked.expire)
        self._forget_done()
        self._expiring.append(asked)
        if self._alarm is None:
            self._alarm = loop.call_at(asked.deadline, self._expire)
        return None

    def _expire(self) -> None:
        loop, expiring = asyncio.get_running_loop(), self._expiring
        self._alarm = None
        self._forget_done()
        while expiring and expiring[0].deadline <= loop.time():
            expiring.popleft().expire()
            self._forget_done()
        if expiring:
            self._alarm = loop.call_at(expiring[0].deadline, self._expire)

    def _forget_done(self) -> None:
        while self._expiring and self._expiring[0].future.done():
            self._expiring.popleft()

    # --- on the way out ---------------------------------------------------------------------------

    def _send(self, asked: _Asked) -> None:
        """Put a command in the line of its host, or find out which that is."""
        host = self._placement.get(asked.partition)
        if host is None:
            self._homeless.append(asked)
            self._refresh()
            return
        line = self._lines.get(host)
        if line is None:
            line = self._lines[host] = _Line()
        line.waiting.append(asked)
        self._schedule(host, line)

    def _schedule(self, host: str, line: _Line) -> None:
        # Not at once: what else is asked in this turn of the loop leaves in the same call.
        if not line.is_scheduled and line.calls < self._limits.calls_in_flight:
            line.is_scheduled = True
            asyncio.get_running_loop().call_soon(self._flush, host, line)

    def _flush(self, host: str, line: _Line) -> None:
        line.is_scheduled = False
        batch: list[_Asked] = []
        while line.waiting and len(batch) < self._limits.commands_a_call:
            asked = line.waiting.popleft()
            if not asked.future.done():
                batch.append(asked)
        if not batch:
            return
        line.calls += 1
        self._spawn(self._call(host, line, batch))
        if line.waiting:
            self._schedule(host, line)

    async def _call(self, host: str, line: _Line, batch: Sequence[_Asked]) -> None:
        self.metrics.call.labels(self._kind.name).observe(len(batch))
        payload = encode((self._kind.name, [asked.envelope for asked in batch]))
        try:
            async with asyncio.timeout(self._limits.call_ms / 1000):
                answers = decode_answers(await self._transport.call(host, payload))
        except asyncio.CancelledError:
            _fail(batch)
            raise
        except (HostUnreachable, TimeoutError) as error:
            self._again(batch, type(error).__name__)
        except Exception:
            logger.exception("host_call_failed", host=host, kind=self._kind.name)
            self._again(batch, "failed")
        else:
            self._take(batch, answers)
        finally:
            line.calls -= 1
            if line.waiting:
                self._schedule(host, line)

    # --- on the way back --------------------------------------------------------------------------

    def _take(self, batch: Sequence[_Asked], answers: Sequence[Answer]) -> None:
        assert len(answers) == len(batch), "a host answers every command"
        moved, well = [], 0
        for asked, answer in zip(batch, answers, strict=True):
            if answer.code == NotOwner.code:
                moved.append(asked)
            elif not asked.future.done():
                asked.future.set_result(answer)
                well += not answer.code
        self._ok.inc(well)
        if moved:
            self._again(moved, NotOwner.code)

    def _again(self, batch: Sequence[_Asked], reason: str) -> None:
        """Ask once more, after a pause and a look at the placement."""
        waiting = [asked for asked in batch if not asked.future.done()]
        if waiting:
            self.metrics.retries.labels(self._kind.name, reason).inc(len(waiting))
            self._spawn(self._retry(waiting))

    async def _retry(self, batch: Sequence[_Asked]) -> None:
        limits = self._limits
        attempts = max(asked.attempts for asked in batch)
        pause_ms = min(limits.backoff_first_ms * 2 ** min(attempts, 20), limits.backoff_most_ms)
        try:
            await asyncio.sleep(pause_ms * random.uniform(0.5, 1.0) / 1000)  # noqa: S311 - jitter
            await asyncio.shield(self._refresh())
        except asyncio.CancelledError:
            _fail(batch)
            raise
        for asked in batch:
            asked.attempts += 1
            if not asked.future.done():
                self._send(asked)

    def _refresh(self) -> asyncio.Task[None]:
        """The reading of the placement that is under way, or a new one."""
        if self._refreshing is None or self._refreshing.done():
            self._refreshing = self._spawn(self._read())
        return self._refreshing

    async def _read(self) -> None:
        placement: Mapping[int, str] = {}
        try:
            async with asyncio.timeout(self._limits.call_ms / 1000):
                placement = await self._read_placement(self._kind.name)
        except Exception as error:  # noqa: BLE001 - whatever it is, the old placement may still do
            logger.warning("placement_unread", kind=self._kind.name, error=repr(error))
        self._placement = placement or self._placement
        homeless, self._homeless = self._homeless, []
        placed = [asked for asked in homeless if asked.partition in self._placement]
        for asked in placed:
            self._send(asked)
        lost = [asked for asked in homeless if asked.partition not in self._placement]
        if lost:
            self._again(lost, "unplaced")

    def _spawn(self, work: Any) -> asyncio.Task[None]:
        task: asyncio.Task[None] = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task


def _fail(waiting: Sequence[_Asked] | deque[_Asked]) -> None:
    for asked in waiting:
        with suppress(asyncio.InvalidStateError):
            asked.future.set_exception(Unavailable("the engine stops", retry_after_ms=1_000))
