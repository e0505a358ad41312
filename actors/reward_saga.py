"""Runs the process `sagas.reward_listen`: events come from the bus, commands go to the owners."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import structlog

from messages.envelope import Event
from messages.errors import Refusal
from sagas import reward_listen
from sagas.reward_listen import SagaCommand
from storage.database import Connection

logger = structlog.get_logger(__name__)


class Asks(Protocol):
    """A handle of the actor runtime, as far as a process needs it."""

    async def ask(self, entity_id: str, command: Any, *, key: bytes) -> Any:
        """The owner's answer. Raises messages.errors.*"""


class RewardListenHandler:
    """A consumer group on the bus. Its effects are commands, made idempotent by their keys.

    A refusal is an answer: it is logged and final, for the same command would be refused again.
    Whatever is Transient propagates, and the bus hands the events over again.
    """

    group = reward_listen.NAME
    streams = reward_listen.STREAMS
    transactional = False

    def __init__(self, handles: Mapping[str, Asks]) -> None:
        """`handles` by kind name: listening, listeners, pools, payees."""
        self._handles = handles

    async def handle(self, connection: Connection, events: Sequence[Event]) -> None:
        """Ask all that the events ask for, in order for each entity, entities side by side."""
        queues: dict[tuple[str, str], list[SagaCommand]] = {}
        for event in events:
            for asked in reward_listen.react(event):
                queues.setdefault((asked.kind, asked.entity_id), []).append(asked)
        outcomes = await asyncio.gather(
            *(self._ask_in_order(queue) for queue in queues.values()), return_exceptions=True
        )
        for outcome in outcomes:
            if isinstance(outcome, BaseException):
                raise outcome

    async def _ask_in_order(self, queue: Sequence[SagaCommand]) -> None:
        for asked in queue:
            try:
                await self._handles[asked.kind].ask(asked.entity_id, asked.command, key=asked.key)
            except Refusal as refusal:
                logger.warning(
                    "reward_step_refused",
                    kind=asked.kind,
                    entity_id=asked.entity_id,
                    command=type(asked.command).__name__,
                    code=refusal.code,
                    detail=refusal.detail,
                )
