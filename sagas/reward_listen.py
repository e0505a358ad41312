"""From an eligible listen to a paid claim: the process, without anything that runs it.

    listening/ListeningScored (eligible) → pools: AddListen
    rewards/ArtistShareAccrued           → payees: CreditPayee
    rewards/RewardPaid                   → listeners: SettleClaims
                                           payees: CreditPayee
    rewards/ProofRejected (nothing paid) → listeners: ReleaseClaims

Between the two lies what only the listener can do: prove, and ask for the reward. Each command's
key derives from the event that asks for it, so that an event seen twice asks for the same thing and
the owner answers what it answered before. There is no state and no compensation to lose: what an
admission reserved is released by the pool's rejection, or with the day.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from messages.envelope import Event
from messages.keys import derive_id, derive_key
from messages.listening import STREAM as LISTENING
from messages.listening import ListeningScored
from messages.rewards import (
    STREAM,
    AddListen,
    ArtistShareAccrued,
    CreditPayee,
    PayeeKind,
    ProofRejected,
    ReleaseClaims,
    RewardPaid,
    SettleClaims,
    payee_id,
)

NAME = "reward_listen"
STREAMS = (LISTENING, STREAM)


class SagaCommand(msgspec.Struct, frozen=True):
    """A command that the process asks of the owner of `entity_id`, of kind `kind`."""

    kind: str
    entity_id: str
    command: msgspec.Struct
    key: bytes


def react(event: Event) -> list[SagaCommand]:
    """What an event asks for; nothing for those that do not concern the process."""
    found = _REACTIONS.get((event.stream, event.type))
    if found is None:
        return []
    decoder, reaction = found
    asked = reaction(decoder.decode(event.body))
    return [
        SagaCommand(kind, entity_id, command, derive_key(NAME, event.event_id, kind, entity_id))
        for kind, entity_id, command in asked
    ]


_Asked = list[tuple[str, str, msgspec.Struct]]


def _scored(event: ListeningScored) -> _Asked:
    if not event.eligible:
        return []
    command = AddListen(
        share_id=derive_id("artist-share", event.session_id),
        leaves=event.leaves,
        artist_id=event.artist_id,
        song_id=event.song_id,
        played_ms=event.played_ms,
        tier=event.tier,
        boost_bps=event.boost_bps,
    )
    return [("pools", event.pool_id, command)]


def _share(event: ArtistShareAccrued) -> _Asked:
    if not event.share_id:
        return []  # from before proofs
    artist = payee_id(PayeeKind.ARTIST, event.artist_id)
    return [("payees", artist, CreditPayee(event.share_id, event.share_minor))]


def _paid(event: RewardPaid) -> _Asked:
    if not event.payment_id:
        return []  # from before proofs
    user = payee_id(PayeeKind.USER, event.user_id)
    settle = SettleClaims(event.payment_id, len(event.claims), event.reward_minor)
    return [
        ("listeners", event.user_id, settle),
        ("payees", user, CreditPayee(event.payment_id, event.reward_minor)),
    ]


def _rejected(event: ProofRejected) -> _Asked:
    if event.paid:
        return []
    return [("listeners", event.user_id, ReleaseClaims(event.payment_id, len(event.claims)))]


def _on(
    stream: str, fact: type[msgspec.Struct], reaction: Callable[[Any], _Asked]
) -> tuple[tuple[str, str], tuple[msgspec.json.Decoder[Any], Callable[[Any], _Asked]]]:
    return (stream, fact.__name__), (msgspec.json.Decoder(fact), reaction)


_REACTIONS = dict(
    [
        _on(LISTENING, ListeningScored, _scored),
        _on(STREAM, ArtistShareAccrued, _share),
        _on(STREAM, RewardPaid, _paid),
        _on(STREAM, ProofRejected, _rejected),
    ]
)
