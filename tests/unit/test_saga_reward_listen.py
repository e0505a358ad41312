"""The process from an eligible listen to a paid claim: pure, and the handler that runs it."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from actors.reward_saga import RewardListenHandler
from bus.handler import Handler, is_transactional
from messages.envelope import Event
from messages.errors import Overloaded, Transient
from messages.keys import derive_id
from messages.listening import ListeningScored, Tier
from messages.rewards import (
    AddListen,
    ArtistShareAccrued,
    ClaimUnknown,
    CreditPayee,
    PaidClaim,
    ProofRejected,
    RejectedClaim,
    ReleaseClaims,
    RewardPaid,
    SettleClaims,
)
from sagas.reward_listen import react
from tests.unit.rewards_entities import ARTIST, POOL, SONG, T0, USER, payment, session

LEAVES = ("7", "8")
SCORED = ListeningScored(
    session(1), USER, "phone", SONG, ARTIST, POOL, Tier.VIP, 12_000, "Europe/Madrid", T0,
    90_000, True, 0, (), 1, LEAVES,
)  # fmt: skip
SHARE_ID = derive_id("artist-share", session(1))
PAID = RewardPaid(
    POOL, USER, 1_800_000, 10_000, 20_000, False, 2, T0, payment(1),
    (PaidClaim("5", 90_000, 1_200_000), PaidClaim("6", 45_000, 600_000)),
)  # fmt: skip
SHARE = ArtistShareAccrued(POOL, ARTIST, SONG, 180_000, T0, SHARE_ID)
REFUSED = RejectedClaim("9", "claim-proof-invalid", "pairing-failed")
REJECTED = ProofRejected(POOL, payment(1), USER, (REFUSED,), False, T0)


def event(fact: Any, number: int = 1) -> Event:
    stream = "listening" if isinstance(fact, ListeningScored) else "rewards"
    body = msgspec.json.encode(fact).decode()
    return Event(f"event-{number}", stream, type(fact).__name__, "entity", number, T0, (), body)


REACTIONS: list[tuple[Any, list[tuple[str, str, Any]]]] = [
    (
        SCORED,
        [
            (
                "pools",
                POOL,
                AddListen(SHARE_ID, LEAVES, ARTIST, SONG, 90_000, Tier.VIP, 12_000),
            )
        ],
    ),
    (msgspec.structs.replace(SCORED, eligible=False), []),
    (
        PAID,
        [
            ("listeners", USER, SettleClaims(payment(1), 2, 1_800_000)),
            ("payees", f"user:{USER}", CreditPayee(payment(1), 1_800_000)),
        ],
    ),
    (msgspec.structs.replace(PAID, payment_id=""), []),
    (SHARE, [("payees", f"artist:{ARTIST}", CreditPayee(SHARE_ID, 180_000))]),
    (msgspec.structs.replace(SHARE, share_id=""), []),
    (REJECTED, [("listeners", USER, ReleaseClaims(payment(1), 1))]),
    (msgspec.structs.replace(REJECTED, paid=True), []),
]


@pytest.mark.parametrize(("fact", "asked"), REACTIONS, ids=lambda v: type(v).__name__)
def test_what_a_fact_asks_for(fact: Any, asked: list[tuple[str, str, Any]]) -> None:
    assert [(c.kind, c.entity_id, c.command) for c in react(event(fact))] == asked


def test_facts_of_others_ask_for_nothing() -> None:
    stranger = Event("event-1", "music", "RewardPaid", "entity", 1, T0, (), "not even JSON")
    assert react(stranger) == []
    assert react(msgspec.structs.replace(stranger, stream="rewards", type="Unknown")) == []


def test_nothing_that_the_pool_is_told_names_the_session_or_the_listener() -> None:
    [asked] = react(event(SCORED))
    told = msgspec.json.encode(asked.command).decode()
    assert session(1) not in told
    assert USER not in told


def test_keys_derive_from_the_event_and_the_owner() -> None:
    first, again, other = (react(event(PAID, number)) for number in (1, 1, 2))
    assert [c.key for c in first] == [c.key for c in again]
    keys = {c.key for commands in (first, other) for c in commands}
    assert len(keys) == 4


class Owner:
    """A handle that notes what it is asked, and answers with errors in turn."""

    def __init__(self, name: str, asked: list[tuple[str, str, Any, bytes]]) -> None:
        self.name, self.asked = name, asked
        self.errors: list[Exception] = []

    async def ask(self, entity_id: str, command: Any, *, key: bytes) -> None:
        self.asked.append((self.name, entity_id, command, key))
        if self.errors:
            raise self.errors.pop(0)


@pytest.fixture
def asked() -> list[tuple[str, str, Any, bytes]]:
    return []


@pytest.fixture
def owners(asked: list[tuple[str, str, Any, bytes]]) -> dict[str, Owner]:
    return {name: Owner(name, asked) for name in ("listening", "listeners", "pools", "payees")}


async def handle(owners: dict[str, Owner], *facts: Any) -> None:
    handler = RewardListenHandler(owners)
    events = [event(fact, number) for number, fact in enumerate(facts)]
    await handler.handle(None, events)  # type: ignore[arg-type]


async def test_the_handler_asks_in_order_for_each_entity(
    owners: dict[str, Owner], asked: list[tuple[str, str, Any, bytes]]
) -> None:
    await handle(owners, PAID, SHARE, REJECTED)
    listener = [type(command) for name, _, command, _ in asked if name == "listeners"]
    assert listener == [SettleClaims, ReleaseClaims]
    assert sorted(name for name, *_ in asked) == ["listeners"] * 2 + ["payees"] * 2


async def test_a_refusal_is_final_and_holds_up_nothing(
    owners: dict[str, Owner], asked: list[tuple[str, str, Any, bytes]]
) -> None:
    owners["listeners"].errors = [ClaimUnknown()]
    await handle(owners, PAID, REJECTED)
    assert [type(c) for name, _, c, _ in asked if name == "listeners"] == [
        SettleClaims,
        ReleaseClaims,
    ]


@pytest.mark.parametrize("error", [Overloaded(), ConnectionError("gone")])
async def test_what_may_pass_propagates_and_the_same_keys_come_again(
    owners: dict[str, Owner], asked: list[tuple[str, str, Any, bytes]], error: Exception
) -> None:
    owners["pools"].errors = [error]
    with pytest.raises(type(error)):
        await handle(owners, SCORED)
    await handle(owners, SCORED)
    assert [a[3] for a in asked if a[0] == "pools"] == [asked[0][3]] * 2
    assert isinstance(Overloaded(), Transient)


def test_it_is_a_handler_of_the_bus(owners: dict[str, Owner]) -> None:
    handler: Handler = RewardListenHandler(owners)
    assert (handler.group, handler.streams) == ("reward_listen", ("listening", "rewards"))
    assert not is_transactional(handler)
