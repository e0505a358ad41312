"""Reward entities in memory: decide, evolve, and the ledger's balances beside them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from domain.decision import Decision, Forget, Remind
from domain.policy import RewardPolicy
from domain.rewards import listeners, payees, pools
from domain.rewards.claims import Finding, PreparedClaims
from domain.rewards.listeners import Policies
from domain.statement import element_of
from messages.ledger import LedgerTransaction, may_be_negative
from messages.listening import Tier
from messages.rewards import AddListen, AdmitClaims, Claim, PayClaims

POLICY = RewardPolicy()
POLICIES = Policies()
VIBES = 1_000_000
T0 = 1_790_000_000_000
DAY_MS = 86_400_000
WEEK_MS = 7 * DAY_MS
USER = "0197a000-0000-7000-8000-000000000001"
ARTIST = "0197a000-0000-7000-8000-00000000000b"
SONG = "0197a000-0000-7000-8000-00000000000a"
POOL = "0197a000-0000-7000-8000-00000000000c"


def session(number: int) -> str:
    return f"0197a000-0000-7000-8000-{number:012d}"


@dataclass
class Ledger:
    """Balances, and keys that were seen: what moves twice, or below zero, is a bug."""

    balances: Counter[str] = field(default_factory=Counter)
    keys: set[bytes] = field(default_factory=set)

    def post(self, transaction: LedgerTransaction) -> None:
        assert transaction.key not in self.keys, "the same transaction twice"
        assert sum(posting.amount_minor for posting in transaction.postings) == 0
        self.keys.add(transaction.key)
        for posting in transaction.postings:
            self.balances[posting.account] += posting.amount_minor
            assert self.balances[posting.account] >= 0 or may_be_negative(posting.account)


@dataclass
class Entity:
    """One entity of any kind."""

    policy: Any
    state: Any
    decide: Callable[[Any, Any, Any, int], Decision[Any]]
    evolve: Callable[[Any, Any], Any]
    reserve: Callable[[Any, Any], tuple[LedgerTransaction, ...]] = lambda _state, _command: ()
    ledger: Ledger = field(default_factory=Ledger)
    now_ms: int = T0
    events: list[Any] = field(default_factory=list)
    timers: dict[str, int] = field(default_factory=dict)

    def send(self, command: Any, now_ms: int | None = None) -> Any:
        self.now_ms = self.now_ms if now_ms is None else now_ms
        reserved = self.reserve(self.state, command)
        decision = self.decide(self.policy, self.state, command, self.now_ms)
        for transaction in (*reserved, *decision.transactions):
            self.ledger.post(transaction)
        for event in decision.events:
            self.state = self.evolve(self.state, event)
        self.events += decision.events
        for timer in decision.timers:
            if isinstance(timer, Remind):
                self.timers[timer.name] = timer.due_at_ms
            elif isinstance(timer, Forget):
                self.timers.pop(timer.name, None)
        return decision.answer

    def names(self) -> list[str]:
        """The kinds of facts so far."""
        return [type(event).__name__ for event in self.events]


def new_pool(ledger: Ledger | None = None) -> Entity:
    state = pools.initial(POOL)
    return Entity(
        POLICY, state, pools.decide, pools.evolve, pools.reserve, ledger=ledger or Ledger()
    )


def new_listener() -> Entity:
    return Entity(POLICIES, listeners.initial(USER), listeners.decide, listeners.evolve)


def new_payee(payee_id: str, ledger: Ledger | None = None) -> Entity:
    state = payees.initial(payee_id)
    return Entity(POLICY, state, payees.decide, payees.evolve, ledger=ledger or Ledger())


VALID = Finding(
    spent=False, epoch_known=True, root_known=True, epoch_ended_at_ms=None, verdict="valid"
)


def signals(number: int = 1, **changes: Any) -> tuple[str, ...]:
    """Public signals whose nullifier is `number`."""
    facts: dict[str, Any] = {
        "nullifier": number,
        "root": 5,
        "min_played_ms": 60_000,
        "max_gap_ms": POLICY.max_gap_ms,
        "recipient": element_of(USER),
        "epoch": 0,
    }
    return tuple(str(value) for value in {**facts, **changes}.values())


def payment(number: int) -> str:
    return f"0197b000-0000-7000-8000-{number:012d}"


def prepared(
    *claims: tuple[str, ...], number: int = 1, finding: Finding = VALID, **changes: Any
) -> PreparedClaims:
    """A command with the same finding for each of its claims."""
    facts: dict[str, Any] = {
        "payment_id": payment(number),
        "user_id": USER,
        "tier": Tier.FREE,
        "allowance_minor": 100 * VIBES,
        "key_version": "test-v1",
        "claims": tuple(Claim(b"{}", claim) for claim in claims),
    }
    return PreparedClaims(PayClaims(**{**facts, **changes}), (finding,) * len(claims))


def pay(number: int = 1, played_ms: int = 60_000, **changes: Any) -> PreparedClaims:
    """One claim that holds, with a payment and a nullifier of its own."""
    return prepared(signals(number, min_played_ms=played_ms), number=number, **changes)


def listen(number: int = 1, **changes: Any) -> AddListen:
    facts: dict[str, Any] = {
        "share_id": session(number),
        "leaves": (str(number),),
        "artist_id": ARTIST,
        "song_id": SONG,
        "played_ms": 60_000,
        "tier": Tier.FREE,
        "boost_bps": 10_000,
    }
    return AddListen(**{**facts, **changes})


def admit(number: int = 1, *played_ms: int, **changes: Any) -> AdmitClaims:
    facts: dict[str, Any] = {
        "payment_id": payment(number),
        "played_ms": played_ms or (60_000,),
        "tier": Tier.FREE,
        "time_zone": "UTC",
    }
    return AdmitClaims(**{**facts, **changes})
