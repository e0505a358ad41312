"""Looks at what webhooks point to: the provider is asked, and the payment's owner is told.

A webhook only says that there is something to see. What it carries may be old, and several tell of
the same charge, so the charge is fetched once for all of them. Only where nobody can be asked any
more, an event carries its own word.
"""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol, TypeAlias

import msgspec
import structlog

from domain.payments.snapshots import join
from integrations.payment_courier import Courier
from integrations.payment_recorder import during
from integrations.provider_calls import Asks
from messages.envelope import Event
from messages.errors import Refusal
from messages.keys import derive_key, is_id
from messages.payments.exchanges import Occasion
from messages.payments.gateways import CallDeclined, CallKind, GatewayName, Snapshot
from messages.payments.payments import PaymentView, RecordSnapshot, Source
from messages.payments.webhooks import PART, STREAM, About, WebhookState, WebhookTaken
from storage import payments, payments_webhooks
from storage.database import Connection

_decode = msgspec.json.Decoder(WebhookTaken).decode
MAX_AT_ONCE = 16

Thing: TypeAlias = tuple[About, GatewayName, str]

log = structlog.get_logger(__name__)


class Looks(Protocol):
    """Looks at what is no charge."""

    async def look(
        self, gateway: GatewayName, ref: str, told: Sequence[WebhookTaken]
    ) -> WebhookState:
        """What became of the webhooks. Raises Transient if a provider or an owner is away."""


class PaymentWebhooksHandler:
    """A consumer group whose effect is a command that changes nothing twice."""

    group = "payment_webhooks"
    streams = (STREAM,)
    transactional = False

    def __init__(
        self,
        owners: Asks,
        courier: Courier,
        clock_ms: Callable[[], int],
        others: Mapping[About, Looks] | None = None,
    ) -> None:
        self._owners = owners
        self._courier = courier
        self._others = others or {}
        self._clock_ms = clock_ms
        self._free = asyncio.Semaphore(MAX_AT_ONCE)
        self._reading = asyncio.Lock()  # a connection does one thing at a time

    async def handle(self, connection: Connection, events: Sequence[Event]) -> None:
        """Look at each charge once. Raises Transient if a provider or an owner is away."""
        taken = [_decode(one.body) for one in events]
        things: dict[Thing, list[WebhookTaken]] = {}
        for one in taken:
            things.setdefault((one.about, one.gateway, one.ref), []).append(one)
        charges = {key[1:]: told for key, told in things.items() if key[0] is About.CHARGE}
        found = await self._find(connection, charges)
        outcomes = await asyncio.gather(
            *(
                self._look(connection, key[1:], found[key[1:]], told)
                if key[0] is About.CHARGE
                else self._look_elsewhere(key, told)
                for key, told in things.items()
            ),
            return_exceptions=True,
        )
        handled = [
            (one.gateway, one.event_id, outcome)
            for told, outcome in zip(things.values(), outcomes, strict=True)
            if isinstance(outcome, WebhookState)
            for one in told
        ]
        await payments_webhooks.mark(connection, handled, self._clock_ms())
        for outcome in outcomes:
            if isinstance(outcome, BaseException):
                raise outcome

    async def _find(
        self,
        connection: Connection,
        charges: Mapping[tuple[GatewayName, str], Sequence[WebhookTaken]],
    ) -> dict[tuple[GatewayName, str], str | None]:
        found: dict[tuple[GatewayName, str], str | None] = {}
        for key, told in charges.items():
            named = next((one.payment_id for one in told if is_id(one.payment_id)), None)
            found[key] = await payments.find_charge(connection, *key) or named
        return found

    async def _look_elsewhere(self, thing: Thing, told: Sequence[WebhookTaken]) -> WebhookState:
        about, gateway, ref = thing
        looks = self._others.get(about)
        if looks is None or not ref:
            return WebhookState.UNRELATED
        async with self._free:
            return await looks.look(gateway, ref, told)

    async def _look(
        self,
        connection: Connection,
        charge: tuple[GatewayName, str],
        payment_id: str | None,
        told: Sequence[WebhookTaken],
    ) -> WebhookState:
        name, ref = charge
        gateway = self._courier.gateways.get(name)
        unnamed = payment_id is None and not ref.startswith(PART)
        if not ref or unnamed or gateway is None:
            return WebhookState.UNRELATED
        async with self._free:
            try:
                with during(Occasion(Source.WEBHOOK, payment_id or "", kind=CallKind.FETCH.value)):
                    snapshot = _said(told) or await gateway.fetch(ref)
            except CallDeclined as error:
                log.warning("webhook of a charge that is not there", ref=ref, code=error.code)
                return WebhookState.UNRELATED
            if payment_id is None:
                async with self._reading:
                    payment_id = await payments.find_charge(connection, name, snapshot.ref)
            if payment_id is None:
                return WebhookState.UNRELATED
            command = RecordSnapshot(name, snapshot, Source.WEBHOOK)
            key = derive_key("payment-webhook", name.value, *(one.event_id for one in told))
            try:
                answer = await self._owners.ask(payment_id, command, key=key)
            except Refusal as refusal:
                log.warning("webhook refused", payment_id=payment_id, code=refusal.code)
                return WebhookState.UNRELATED
            assert isinstance(answer, PaymentView)
            await self._courier.run(answer)  # as to take what its payer approved
        return WebhookState.HANDLED


def _said(told: Sequence[WebhookTaken]) -> Snapshot | None:
    """What the events themselves say of their charge, if they may."""
    said = [one.snapshot for one in told if one.snapshot is not None]
    return functools.reduce(join, said) if said else None
