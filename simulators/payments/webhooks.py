"""Delivers a provider's webhooks: again until they are taken, unless the plan says otherwise."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import httpx

from simulators.payments.faults import Faults

PAUSES_S = (0.0, 0.2, 1.0, 3.0, 10.0, 30.0)
WAITING = 100_000

Sign = Callable[[bytes, bool], Mapping[str, str]]


@dataclass
class Delivery:
    """A webhook on its way."""

    body: bytes
    wrong: bool = False
    after_s: float = 0.0


class Sender:
    """Sends to `url` what is put in; `sign(body, wrong)` makes the headers."""

    def __init__(self, url: str, sign: Sign, faults: Faults) -> None:
        self.url = url
        self._sign = sign
        self._faults = faults
        self._held: Delivery | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._client = httpx.AsyncClient(timeout=10)

    def put(self, body: bytes) -> None:
        """Have a webhook delivered, as the plan of faults says."""
        if not self.url or len(self._tasks) >= WAITING or self._faults.take("webhook", "drop"):
            return
        if self._faults.take("webhook", "wrong-signature"):
            self._send(Delivery(body, wrong=True))
        if self._faults.take("webhook", "reorder"):
            self._held = Delivery(body)
            return
        late = self._faults.take("webhook", "delay")
        self._send(Delivery(body, after_s=late.ms / 1_000 if late else 0.0))
        if self._faults.take("webhook", "duplicate"):
            self._send(Delivery(body))
        if self._held is not None:
            held, self._held = self._held, None
            self._send(held)

    async def close(self) -> None:
        """Drop what was not delivered."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._client.aclose()

    def _send(self, delivery: Delivery) -> None:
        task = asyncio.create_task(self._deliver(delivery))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _deliver(self, delivery: Delivery) -> None:
        await asyncio.sleep(delivery.after_s)
        for pause in PAUSES_S:
            await asyncio.sleep(pause)
            headers = {
                "content-type": "application/json",
                **self._sign(delivery.body, delivery.wrong),
            }
            try:
                answer = await self._client.post(self.url, content=delivery.body, headers=headers)
            except httpx.HTTPError:
                continue
            if answer.status_code < 300 or delivery.wrong:
                return
