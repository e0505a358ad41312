"""What waits in a mailbox: commands, each with the call that is to be answered."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any, NamedTuple, Protocol

from messages.envelope import Answer


class Timer(NamedTuple):
    """The durable timer that a command comes from."""

    entity_id: str
    name: str
    due_at_ms: int


class Sender(Protocol):
    """Who waits for answers."""

    def answered(self, index: int, answer: Answer) -> None:
        """The answer to the command that was sent as number `index`."""


class Item:
    """A command in the mailbox. `followers` carry the same key and get the same answer.

    body: the command as it came; once it is decoded, its essence.
    prepared: what is to be decided in the command's place, if its kind prepares commands.
    """

    __slots__ = (
        "answer",
        "body",
        "command",
        "entity_id",
        "followers",
        "index",
        "is_query",
        "key",
        "partition",
        "prepared",
        "sender",
        "timer",
    )

    def __init__(
        self,
        sender: Sender,
        index: int,
        key: bytes,
        entity_id: str,
        partition: int,
        body: bytes,
        timer: Timer | None = None,
    ) -> None:
        self.sender = sender
        self.index = index
        self.key = key
        self.entity_id = entity_id
        self.partition = partition
        self.body = body
        self.timer = timer
        self.command: Any = None
        self.prepared: Any = None
        self.is_query = False
        self.answer: Answer | None = None
        self.followers: list[Item] | None = None

    def settle(self, answer: Answer) -> None:
        """This is the answer, whatever becomes of the rest of the batch."""
        self.answer = answer
        for follower in self.followers or ():
            follower.answer = answer


class Call:
    """The commands that came in one payload; `done` is set when all are answered."""

    __slots__ = ("_left", "answers", "done")

    def __init__(self, size: int) -> None:
        self.answers: list[Answer | None] = [None] * size
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._left = size
        self._finish_if_done()

    def answered(self, index: int, answer: Answer) -> None:
        """Note an answer."""
        self.answers[index] = answer
        self._left -= 1
        self._finish_if_done()

    def _finish_if_done(self) -> None:
        if self._left == 0 and not self.done.done():
            self.done.set_result(None)


def unanswered(items: Iterable[Item]) -> list[Item]:
    """Those that no answer is fixed for yet."""
    return [item for item in items if item.answer is None]
