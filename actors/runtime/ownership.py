"""Which partitions a lane owns: taking them with a new epoch, losing them to another's."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable

import structlog

from actors.runtime.codec import error_answer
from actors.runtime.errors import NotOwner
from actors.runtime.limits import Limits
from actors.runtime.mail import Item, unanswered
from actors.runtime.metrics import HostMetrics
from storage import placement
from storage.database import Connection

logger = structlog.get_logger(__name__)


class Identity:
    """Who a host is: its name, and the incarnation that it registered at its start."""

    __slots__ = ("incarnation", "name", "retired")

    def __init__(self, name: str) -> None:
        self.name = name
        self.incarnation = 0
        self.retired = False


class Ownership:
    """The partitions of one kind that a lane owns, and the epochs its writes must name."""

    def __init__(
        self,
        kind: str,
        identity: Identity,
        clock: Callable[[], int],
        limits: Limits,
        metrics: HostMetrics,
    ) -> None:
        self._kind = kind
        self._identity = identity
        self._clock = clock
        self._refusal = error_answer(NotOwner(retry_after_ms=limits.retry_after_ms))
        self._acquired = metrics.acquired.labels(kind)
        self._fence_losses = metrics.fence_losses.labels(kind)
        self._epochs: dict[int, int] = {}

    def __len__(self) -> int:
        return len(self._epochs)

    def epochs(self, partitions: Iterable[int]) -> dict[int, int]:
        """Partition → the epoch it is owned at. KeyError if one is not."""
        return {partition: self._epochs[partition] for partition in partitions}

    async def take(self, connection: Connection, items: Iterable[Item]) -> list[Item]:
        """Take the partitions that are not owned yet; items of another host's are refused."""
        items = list(items)
        wanted = {item.partition for item in items} - self._epochs.keys()
        if not wanted:
            return items
        who = self._identity
        taken: dict[int, int] = {}
        if not who.retired:
            taken = await placement.acquire(
                connection, self._kind, list(wanted), who.name, who.incarnation, self._clock()
            )
        self._epochs.update(taken)
        self._acquired.inc(len(taken))
        if len(taken) < len(wanted):
            await self._retire_if_replaced(connection)
        return self._refuse_foreign(items)

    def lose(self, partitions: Collection[int]) -> None:
        """Another took these since: step down. They may be ours again; `take` finds out."""
        for partition in partitions:
            self._epochs.pop(partition, None)
        self._fence_losses.inc(len(partitions))
        logger.warning("fence_lost", kind=self._kind, partitions=sorted(partitions))

    def _refuse_foreign(self, items: Iterable[Item]) -> list[Item]:
        items = list(items)
        for item in items:
            if item.partition not in self._epochs:
                item.settle(self._refusal)
        return unanswered(items)

    async def _retire_if_replaced(self, connection: Connection) -> None:
        """A later process of the same name makes this one superfluous, for good."""
        who = self._identity
        if not who.retired:
            current = await placement.incarnation(connection, who.name)
            if current != who.incarnation:
                who.retired = True
                logger.warning("host_retired", host=who.name, incarnation=who.incarnation)
