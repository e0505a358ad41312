"""A batch on its way: what was taken from the mailbox, and how far it is."""

from __future__ import annotations

from collections.abc import Sequence

from actors.runtime.batch import Batch
from actors.runtime.mail import Item


class Flight:
    """Commands that were taken together.

    pending: those that hold a command, one for each key.  netted: purposes whose transfers may be
    posted as sums.  batch: once it is being decided.  is_whole: whether all of them are in it.
    """

    __slots__ = ("batch", "deadline", "is_whole", "items", "netted", "pending")

    def __init__(self, items: Sequence[Item], deadline: float, netted: frozenset[str]) -> None:
        self.items = items
        self.deadline = deadline
        self.netted = netted
        self.pending: Sequence[Item] = ()
        self.batch: Batch | None = None
        self.is_whole = False

    def holds(self, items: Sequence[Item]) -> bool:
        """Whether one of the items is a command that is here already."""
        keys = {item.key for item in self.pending}
        return any(item.key in keys for item in items)
