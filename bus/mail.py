"""Sends what waits in the queue of outgoing mail. Any number of senders share one queue."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any, Protocol

import structlog
from prometheus_client import CollectorRegistry, Counter, Gauge

from domain.mail import next_attempt_ms
from messages.mail import STREAM, Delivery, Letter, Outcome

BATCH = 4
DELIVERY_SECONDS = 10.0
# Longer than a whole batch may take, so that no letter is sent twice while its sender lives.
LEASE_MS = int(BATCH * DELIVERY_SECONDS * 1_000) + 5_000
IDLE_SECONDS = 1.0
PURGE_SECONDS = 600.0

log = structlog.get_logger(__name__)


class Mail(Protocol):
    """A letter under an attempt (`storage.mail.QueuedMail`)."""

    @property
    def mail_id(self) -> str: ...
    @property
    def template(self) -> str: ...
    @property
    def attempts(self) -> int: ...
    @property
    def expires_at_ms(self) -> int: ...


class Queue(Protocol):
    """The queue (`storage.mail.MailQueue`)."""

    async def claim(self, now_ms: int, lease_ms: int, limit: int) -> list[Any]:
        """Begin an attempt at letters that are due."""

    async def sent(self, mail_id: str, now_ms: int) -> None:
        """The server has taken it."""

    async def failed(self, mail: Any, error: str, again_at_ms: int) -> None:
        """This attempt failed."""

    async def give_up(self, mail_id: str, error: str, now_ms: int) -> None:
        """It is never sent."""

    async def waiting(self) -> tuple[int, int | None]:
        """How many wait, and since when the oldest does."""

    async def purge(self, now_ms: int) -> int:
        """Forget what was done long ago."""


class Mailer(Protocol):
    """The way out (`integrations/mailer_smtp.py`)."""

    async def deliver(self, letter: Letter) -> Delivery:
        """Try to hand a letter to the mail server. Raises nothing that the server may cause."""

    async def rest(self) -> None:
        """Nothing more to send for now: let go of the connection."""


class Wakes(Protocol):
    """What tells that something may be waiting (`bus.store.EventStore`)."""

    def wakes(self, stream: str) -> AbstractContextManager[Any]:
        """An asyncio.Event that is set when the stream may have something new."""


class MailSender:
    """Claims, renders, sends, writes down what came of it; for ever."""

    task_name = "mail"

    def __init__(
        self,
        queue: Queue,
        mailer: Mailer,
        render: Callable[[Any], Letter],
        store: Wakes,
        clock_ms: Callable[[], int],
        registry: CollectorRegistry,
    ) -> None:
        self._queue = queue
        self._mailer = mailer
        self._render = render
        self._store = store
        self._clock_ms = clock_ms
        self._purge_at = 0.0
        self._done = Counter(
            "vibestream_mail_attempts",
            "Attempts at sending a letter, by what came of them",
            ("template", "outcome"),
            registry=registry,
        )
        self._waiting = Gauge("vibestream_mail_waiting", "Letters that wait", registry=registry)
        self._oldest = Gauge(
            "vibestream_mail_oldest_age_seconds",
            "Age of the oldest letter that waits",
            registry=registry,
        )

    async def run(self) -> None:
        """Send for ever. Raises when PostgreSQL is lost: run it again."""
        with self._store.wakes(STREAM) as woken:
            try:
                while True:
                    woken.clear()
                    while await self.send_some():
                        pass
                    await self._mailer.rest()
                    await self._look_after()
                    with contextlib.suppress(TimeoutError):
                        async with asyncio.timeout(IDLE_SECONDS):
                            await woken.wait()
            finally:
                await self._mailer.rest()

    async def send_some(self) -> int:
        """One attempt at each of a few letters that are due; how many those were."""
        mails: list[Mail] = await self._queue.claim(self._clock_ms(), LEASE_MS, BATCH)
        away = ""
        for mail in mails:
            delivery = Delivery(Outcome.AWAY, away) if away else await self._attempt(mail)
            away = delivery.error if delivery.outcome is Outcome.AWAY else ""
            await self._write_down(mail, delivery)
        return len(mails)

    async def _attempt(self, mail: Mail) -> Delivery:
        if mail.expires_at_ms <= self._clock_ms():
            return Delivery(Outcome.REFUSED, "it waited too long to be of use")
        try:
            letter = self._render(mail)
        except (KeyError, ValueError, OSError) as error:
            # A defect of ours, and of this letter alone.
            log.exception("letter cannot be written", template=mail.template)
            return Delivery(Outcome.REFUSED, f"cannot be written: {error!r}")
        try:
            async with asyncio.timeout(DELIVERY_SECONDS):
                return await self._mailer.deliver(letter)
        except TimeoutError:
            await self._mailer.rest()
            return Delivery(Outcome.AWAY, "the server took too long")

    async def _write_down(self, mail: Mail, delivery: Delivery) -> None:
        now_ms = self._clock_ms()
        self._done.labels(mail.template, delivery.outcome.value).inc()
        if delivery.outcome is Outcome.SENT:
            await self._queue.sent(mail.mail_id, now_ms)
            return
        chance = random.random()  # noqa: S311 - jitter, not a secret
        again = next_attempt_ms(mail.attempts, now_ms, chance)
        if delivery.outcome is Outcome.REFUSED or again is None:
            log.warning("letter given up", mail_id=mail.mail_id, template=mail.template)
            await self._queue.give_up(mail.mail_id, delivery.error, now_ms)
            return
        log.info("letter waits", mail_id=mail.mail_id, outcome=delivery.outcome.value)
        await self._queue.failed(mail, delivery.error, again)

    async def _look_after(self) -> None:
        count, oldest = await self._queue.waiting()
        self._waiting.set(count)
        self._oldest.set(max(0, self._clock_ms() - oldest) / 1_000 if oldest is not None else 0)
        now = asyncio.get_running_loop().time()
        if now >= self._purge_at:
            self._purge_at = now + PURGE_SECONDS
            await self._queue.purge(self._clock_ms())
