"""What the owner of a pool finds out about the claims of a batch before it decides them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol

from actors.runtime.kind import Asked
from domain.rewards.claims import Finding, PreparedClaims, screen
from domain.rewards.pools import Pool
from domain.statement import Signals, read_signals
from messages.errors import Refusal, Unavailable
from messages.rewards import PayClaims, PoolCommand
from storage import rewards_claims as storage
from storage.database import Connection

NOTHING_FOUND = Finding(spent=False, epoch_known=False, root_known=False, epoch_ended_at_ms=None)


class Proof(NamedTuple):
    """A proof to verify under the key of a version, as it came."""

    key_version: str
    proof: bytes
    signals: tuple[str, ...]


class Verifier(Protocol):
    """Who verifies proofs."""

    async def verify(self, proofs: Sequence[Proof]) -> Sequence[str]:
        """A verdict for each: `valid`, `unknown-key`, or the verifier's code."""


class _Slot:
    """A claim of the batch: where it is from, and what was found so far."""

    def __init__(self, asked: Asked[Pool, PoolCommand], command: PayClaims, place: int) -> None:
        self.pool_id = asked.entity_id
        self.claim = command.claims[place]
        self.key_version = command.key_version
        self.signals = _readable(self.claim.signals)
        self.finding = NOTHING_FOUND


async def prepare(
    connection: Connection,
    verifier: Verifier | None,
    asked: Sequence[Asked[Pool, PoolCommand]],
) -> list[PreparedClaims | None]:
    """The commands with claims, prepared; None for the others, which are decided as they are."""
    by_command = [
        [_Slot(each, each.command, place) for place in range(len(each.command.claims))]
        if isinstance(each.command, PayClaims)
        else []
        for each in asked
    ]
    slots = [slot for of_one in by_command for slot in of_one if slot.signals is not None]
    if slots:
        await _look_up(connection, slots)
        await _verify(verifier, slots)
    return [
        PreparedClaims(each.command, tuple(slot.finding for slot in of_one))
        if isinstance(each.command, PayClaims)
        else None
        for each, of_one in zip(asked, by_command, strict=True)
    ]


async def _look_up(connection: Connection, slots: Sequence[_Slot]) -> None:
    claims = [
        storage.Asked(slot.pool_id, s.epoch, str(s.root), str(s.nullifier))
        for slot in slots
        if (s := slot.signals) is not None
    ]
    found = await storage.find(connection, claims)
    for slot, row in zip(slots, found, strict=True):
        slot.finding = Finding(*row)


async def _verify(verifier: Verifier | None, slots: Sequence[_Slot]) -> None:
    """Only what would be paid if it holds: the rest is refused whatever its proof is worth."""
    worth = [slot for slot in slots if screen(slot.finding) is None]
    if not worth:
        return
    if verifier is None:
        raise Unavailable("no verifier here")
    proofs = [Proof(s.key_version, s.claim.proof, s.claim.signals) for s in worth]
    verdicts = await verifier.verify(proofs)
    for slot, verdict in zip(worth, verdicts, strict=True):
        found = slot.finding
        slot.finding = Finding(
            found.spent, found.epoch_known, found.root_known, found.epoch_ended_at_ms, verdict
        )


def _readable(texts: tuple[str, ...]) -> Signals | None:
    """The signals; None where `decide` will refuse them."""
    try:
        return read_signals(texts)
    except Refusal:
        return None
