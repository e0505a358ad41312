"""Each event's JSON is pinned: journals and streams hold it for ever.

A change that breaks one of these files breaks what is stored. Add a field with a default instead,
keep the old file as it is, and pin the new form beside it (`Event.2.json`). What is written is the
newest form; every form is read.
"""

from __future__ import annotations

import json
import typing
from enum import StrEnum
from pathlib import Path

import msgspec
import pytest

from messages.artists import ArtistEvent, RequestKind
from messages.drops.drops import DropEvent
from messages.listening import EndReason, ListeningEvent, Tier
from messages.market import LockReason, MarketEvent, orders
from messages.moderation import AppealDecision, ModerationEvent, SuspensionStatus
from messages.payments.exchange import FundsConverted
from messages.payments.gateways import NextAction
from messages.payments.payments import PaymentEvent, StartPayment
from messages.payments.payout_methods import PayoutMethodEvent
from messages.payments.payouts import PayoutEvent
from messages.payments.saved_methods import SavedMethodEvent
from messages.purchases.purchases import PurchaseEvent
from messages.rewards import ListenerEvent, PayeeEvent, PoolEvent
from messages.users import Role
from messages.users_accounts import AccountEvent
from messages.users_external import ExternalEvent, Provider
from messages.users_factors import FactorEvent
from messages.users_people import FollowKind, PeopleEvent
from messages.users_sessions import Because, SessionEvent
from messages.users_wallets import WalletEvent, WalletKind
from messages.ventures.ventures import VentureEvent

FOLDER = Path(__file__).parent
UNIONS: dict[str, list[typing.Any]] = {
    "drops": [DropEvent],
    "listening": [ListeningEvent],
    "market": [MarketEvent],
    "music": [ArtistEvent],
    "payments": [PaymentEvent, PayoutEvent],
    "purchases": [PurchaseEvent],
    "rewards": [PoolEvent, ListenerEvent, PayeeEvent],
    "users": [
        AccountEvent,
        ExternalEvent,
        FactorEvent,
        FundsConverted,
        ModerationEvent,
        PayoutMethodEvent,
        PeopleEvent,
        SavedMethodEvent,
        SessionEvent,
        WalletEvent,
    ],
    "ventures": [VentureEvent],
}
KINDS = {
    (context, kind): union
    for context, unions in UNIONS.items()
    for union in unions
    for kind in typing.get_args(union) or (union,)
}
# A value for each field, by its name or else its type.
NAMED = {"user_id": 1, "song_id": 2, "artist_id": 3, "pool_id": 4, "session_id": 5, "credit_id": 5}
TYPED: dict[object, object] = {
    bool: True,
    bytes: b"\x00\xff" * 16,
    Tier: Tier.PREMIUM,
    Provider: Provider.APPLE,
    WalletKind: WalletKind.SOLANA,
    EndReason: EndReason.STALE,
    LockReason: LockReason.LEGAL,
    FollowKind: FollowKind.ARTIST,
    RequestKind: RequestKind.CLAIM,
    Role: Role.MODERATOR,
    AppealDecision: AppealDecision.OVERTURN,
    SuspensionStatus: SuspensionStatus.LAPSED,
    orders.Side: orders.Side.SELL,
    orders.Phase: orders.Phase.HALTED,
    orders.OrderStatus: orders.OrderStatus.CANCELLED,
    orders.EndReason: orders.EndReason.SELF_TRADE,
    Because: Because.DISPLACED,
}


def sample(kind: type[msgspec.Struct]) -> msgspec.Struct:
    """An event with a telling value in each field."""
    hints = typing.get_type_hints(kind)
    values = [value(name, hints[name], place) for place, name in enumerate(kind.__struct_fields__)]
    return kind(*values)


def value(name: str, hint: typing.Any, place: int) -> object:
    if name in NAMED:
        return f"0197a000-0000-7000-8000-{NAMED[name]:012d}"
    if hint in TYPED:
        return TYPED[hint]
    if typing.get_origin(hint) is tuple and issubclass(typing.get_args(hint)[0], msgspec.Struct):
        return (sample(typing.get_args(hint)[0]),)
    if (found := of_a_message(hint)) is not None:
        return found
    if hint is int:
        return 1_790_000_000_000 + place if name.endswith("at_ms") else 1_000 + place
    return "some " + name if hint in (str, str | None) else ("one", "two")


def of_a_message(hint: typing.Any) -> object:
    """A value of a type that messages define: a struct, a word of a list, several words."""
    if isinstance(hint, type) and issubclass(hint, msgspec.Struct):
        return sample(hint)
    if isinstance(hint, type) and issubclass(hint, StrEnum):
        return list(hint)[-1]
    if typing.get_origin(hint) is tuple and issubclass(typing.get_args(hint)[0], StrEnum):
        return (list(typing.get_args(hint)[0])[-1],)
    return sample(NextAction) if hint == NextAction | None else None


TYPED[orders.Entered | None] = sample(orders.Entered)
TYPED[dict[str, str]] = {"one": "two"}
TYPED[StartPayment | None] = sample(StartPayment)


@pytest.mark.parametrize(("context", "kind"), KINDS, ids=lambda v: getattr(v, "__name__", v))
def test_an_event_is_written_as_it_always_was(context: str, kind: type[msgspec.Struct]) -> None:
    golden = newest(context, kind.__name__)
    written = json.loads(msgspec.json.encode(sample(kind)))
    assert written["type"] == kind.__name__
    assert golden.exists(), f"pin it: {json.dumps(written)}"
    assert written == json.loads(golden.read_text(encoding="utf-8"))


def newest(context: str, name: str) -> Path:
    """The file of the form with the highest number; the first has none."""
    forms = (FOLDER / context).glob(f"{name}.*.json")
    last = max(forms, key=lambda path: int(path.suffixes[0][1:]), default=None)
    return last or FOLDER / context / f"{name}.json"


FILES = sorted(path for context in UNIONS for path in (FOLDER / context).glob("*.json"))


@pytest.mark.parametrize("path", FILES, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_an_event_of_any_age_is_read(path: Path) -> None:
    name = path.stem.split(".")[0]
    union = next(u for (c, k), u in KINDS.items() if (c, k.__name__) == (path.parent.name, name))
    event = msgspec.json.decode(path.read_bytes(), type=union)
    assert type(event).__name__ == name
    again = msgspec.json.decode(msgspec.json.encode(event), type=union)
    assert again == event
