"""From an eligible listen to a paid one: the process, without anything that runs it.

    listening/ListeningScored (eligible) → listeners: AdmitListen
    rewards/ListenAdmitted               → pools: PayListen
    rewards/RewardPaid                   → listeners: SettleListen
                                           payees: CreditPayee
                                           listening: ClaimListen
    rewards/ArtistShareAccrued           → payees: CreditPayee
    rewards/ListenRewardRefused          → listeners: ReleaseListen

Each command's key derives from the event that asks for it, so that an event seen twice asks for the
same thing and the owner answers what it answered before. There is no state and no compensation to
lose: what an admission reserved is released by the pool's refusal, or with the day.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from messages.envelope import Event
from messages.keys import derive_key
from messages.listening import STREAM as LISTENING
from messages.listening import ClaimListen, ListeningScored, listening_entity
from messages.rewards import (
    STREAM,
    AdmitListen,
    ArtistShareAccrued,
    CreditPayee,
    ListenAdmitted,
    ListenRewardRefused,
    PayeeKind,
    PayListen,
    ReleaseListen,
    RewardPaid,
    SettleListen,
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
    command = AdmitListen(
        session_id=event.session_id,
        device_id=event.device_id,
        song_id=event.song_id,
        artist_id=event.artist_id,
        pool_id=event.pool_id,
        played_ms=event.played_ms,
        ended_at_ms=event.ended_at_ms,
        tier=event.tier,
        boost_bps=event.boost_bps,
        time_zone=event.time_zone,
    )
    return [("listeners", event.user_id, command)]


def _admitted(event: ListenAdmitted) -> _Asked:
    command = PayListen(
        session_id=event.session_id,
        user_id=event.user_id,
        device_id=event.device_id,
        song_id=event.song_id,
        artist_id=event.artist_id,
        played_ms=event.played_ms,
        tier=event.tier,
        boost_bps=event.boost_bps,
        allowance_minor=event.allowance_minor,
    )
    return [("pools", event.pool_id, command)]


def _paid(event: RewardPaid) -> _Asked:
    device = listening_entity(event.user_id, event.device_id)
    user = payee_id(PayeeKind.USER, event.user_id)
    return [
        ("listeners", event.user_id, SettleListen(event.session_id, event.reward_minor)),
        ("payees", user, CreditPayee(event.session_id, event.reward_minor)),
        ("listening", device, ClaimListen(event.session_id)),
    ]


def _share(event: ArtistShareAccrued) -> _Asked:
    artist = payee_id(PayeeKind.ARTIST, event.artist_id)
    return [("payees", artist, CreditPayee(event.session_id, event.share_minor))]


def _refused(event: ListenRewardRefused) -> _Asked:
    return [("listeners", event.user_id, ReleaseListen(event.session_id, event.reason))]


def _on(
    stream: str, fact: type[msgspec.Struct], reaction: Callable[[Any], _Asked]
) -> tuple[tuple[str, str], tuple[msgspec.json.Decoder[Any], Callable[[Any], _Asked]]]:
    return (stream, fact.__name__), (msgspec.json.Decoder(fact), reaction)


_REACTIONS = dict(
    [
        _on(LISTENING, ListeningScored, _scored),
        _on(STREAM, ListenAdmitted, _admitted),
        _on(STREAM, RewardPaid, _paid),
        _on(STREAM, ArtistShareAccrued, _share),
        _on(STREAM, ListenRewardRefused, _refused),
    ]
)
