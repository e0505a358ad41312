"""A provider of payouts in memory, obviously right, whose every answer may get lost."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random

from messages.payments.payout_orders import PayoutProgress, PayoutSnapshot
from messages.payments.payouts import PayoutCall, PayoutCallKind


class DeclinedError(Exception):
    pass


@dataclass
class Sent:
    ref: str
    amount: int
    progress: PayoutProgress
    at_ms: int
    fee: int

    def snapshot(self) -> PayoutSnapshot:
        return PayoutSnapshot(self.ref, self.progress, self.at_ms, self.fee)


class Provider:
    """Keeps keys for a while, as real ones do, and what it sent for ever."""

    def __init__(self, random: Random, *, key_ms: int) -> None:
        self.random, self.key_ms = random, key_ms
        self.now = 0
        self.sent: list[Sent] = []
        self.keys: dict[str, tuple[Sent, int]] = {}
        self.news: list[PayoutSnapshot] = []
        self.declines = 0.1
        self.replays = random.random() < 0.5  # or else it declines what it did before
        self.begins: PayoutProgress | None = None  # None: chance

    @property
    def gone(self) -> int:
        """What left us: what is with receivers, and fees."""
        paid = [one for one in self.sent if one.progress is PayoutProgress.PAID]
        return sum(one.amount for one in paid) + sum(one.fee for one in self.sent)

    def perform(self, call: PayoutCall, amount: int) -> PayoutSnapshot:
        """Do what is asked, once a key while it is known. Raises DeclinedError."""
        if call.kind is PayoutCallKind.FIND:
            if not self.sent:
                raise DeclinedError
            return self.sent[-1].snapshot()
        known, at_ms = self.keys.get(call.key, (None, 0))
        if known is not None and self.now - at_ms < self.key_ms:
            if not self.replays:
                raise DeclinedError
            return known.snapshot()
        if self.random.random() < self.declines:
            raise DeclinedError
        begun = [PayoutProgress.PENDING, PayoutProgress.PAID]
        progress = self.begins or self.random.choice(begun)
        one = Sent(f"po_{len(self.sent)}", amount, progress, self.now, self.random.choice([0, 25]))
        self.sent.append(one)
        self.keys[call.key] = one, self.now
        self.news.append(one.snapshot())
        return one.snapshot()

    def move(self, one: Sent, progress: PayoutProgress) -> None:
        one.progress, one.at_ms = progress, self.now
        self.news.append(one.snapshot())

    def happen(self) -> None:
        """Something that nobody here asked for."""
        for one in self.sent:
            if one.progress is PayoutProgress.PENDING:
                ends = [PayoutProgress.PAID, PayoutProgress.FAILED, PayoutProgress.RETURNED]
                self.move(one, self.random.choice(ends))
            elif one.progress is PayoutProgress.PAID and self.random.random() < 0.3:
                back = [PayoutProgress.RETURNED, PayoutProgress.FAILED]
                self.move(one, self.random.choice(back))
