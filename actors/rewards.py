"""The owners of reward pools, of listeners' limits and streaks, and of what accrues for payees."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from msgspec.structs import replace

from actors import claims
from actors.claims import Verifier
from actors.runtime.kind import Applied, Asked, EntityKind
from domain.decision import Decision
from domain.policy import RewardPolicy
from domain.rewards import listeners, payees, pools
from domain.rewards.claims import PreparedClaims
from domain.rewards.listeners import Listener, Policies
from domain.rewards.payees import Payee
from domain.rewards.pools import Pool
from messages.ledger import LedgerTransaction
from messages.listening import Tier
from messages.rewards import (
    PUBLIC_LISTENER_EVENTS,
    PUBLIC_PAYEE_EVENTS,
    PUBLIC_POOL_EVENTS,
    STREAM,
    AdmitClaims,
    ArtistShareAccrued,
    CheckStreak,
    GetPayee,
    GetPool,
    GetStreak,
    ListenerAnswer,
    ListenerCommand,
    ListenerEvent,
    PayClaims,
    PayeeCommand,
    PayeeEvent,
    PayeeView,
    PoolAnswer,
    PoolCommand,
    PoolEvent,
    ProofRejected,
    RewardPaid,
    earnings_channel,
    payee_channel,
    pool_channel,
)
from messages.users import user_channel
from storage import rewards as storage
from storage import rewards_claims as claims_storage
from storage.database import Connection


class PoolsKind(EntityKind[Pool, PoolCommand, PoolEvent]):
    """Entity pool id: a reward pool. The only one that moves the pool's ledger account."""

    name = "pools"
    stream = STREAM
    command_type = PoolCommand
    event_type = PoolEvent
    state_type = Pool
    answer_type = PoolAnswer
    queries: ClassVar[frozenset[type]] = frozenset({GetPool})
    public: ClassVar[frozenset[type]] = PUBLIC_POOL_EVENTS

    def __init__(self, policy: RewardPolicy, verifier: Verifier | None = None) -> None:
        """verifier: only where pools are owned; handles and supervisors need none."""
        self._policy = policy
        self._verifier = verifier

    def initial(self, entity_id: str) -> Pool:
        return pools.initial(entity_id)

    def essence(self, command: PoolCommand) -> PoolCommand:
        """A claim is the same claim after its claimer reached another tier."""
        return replace(command, tier=Tier.FREE) if isinstance(command, PayClaims) else command

    async def prepare(
        self, connection: Connection, asked: Sequence[Asked[Pool, PoolCommand]]
    ) -> Sequence[PreparedClaims | None]:
        """Verify the proofs of the whole batch together."""
        return await claims.prepare(connection, self._verifier, asked)

    def decide(
        self, state: Pool, command: PoolCommand | PreparedClaims, now_ms: int
    ) -> Decision[PoolEvent]:
        return pools.decide(self._policy, state, command, now_ms)

    def evolve(self, state: Pool, event: PoolEvent) -> Pool:
        return pools.evolve(state, event)

    def reserve(
        self, state: Pool, command: PoolCommand, now_ms: int
    ) -> tuple[LedgerTransaction, ...]:
        return pools.reserve(state, command)

    def channels(self, entity_id: str, event: PoolEvent) -> tuple[str, ...]:
        """Who was paid what is theirs to see; the pool's channel sees amounts without names."""
        if isinstance(event, RewardPaid | ProofRejected):
            return (user_channel(event.user_id),)
        if isinstance(event, ArtistShareAccrued):
            return (earnings_channel(event.artist_id),)
        return (pool_channel(entity_id),)

    async def project(self, connection: Connection, applied: Sequence[Applied[PoolEvent]]) -> None:
        events = [a.event for a in applied]
        await storage.write_pools(connection, events)
        await claims_storage.write(connection, events)


class ListenersKind(EntityKind[Listener, ListenerCommand, ListenerEvent]):
    """Entity user id: what a day still allows, and the streak."""

    name = "listeners"
    stream = STREAM
    command_type = ListenerCommand
    event_type = ListenerEvent
    state_type = Listener
    answer_type = ListenerAnswer
    queries: ClassVar[frozenset[type]] = frozenset({GetStreak})
    public: ClassVar[frozenset[type]] = PUBLIC_LISTENER_EVENTS

    def __init__(self, policies: Policies) -> None:
        self._policies = policies

    def initial(self, entity_id: str) -> Listener:
        return listeners.initial(entity_id)

    def essence(self, command: ListenerCommand) -> ListenerCommand:
        """As for a claim's payment; and the claimer may have travelled."""
        if not isinstance(command, AdmitClaims):
            return command
        return replace(command, tier=Tier.FREE, time_zone="")

    def decide(
        self, state: Listener, command: ListenerCommand, now_ms: int
    ) -> Decision[ListenerEvent]:
        return listeners.decide(self._policies, state, command, now_ms)

    def evolve(self, state: Listener, event: ListenerEvent) -> Listener:
        return listeners.evolve(state, event)

    def reminded(self, name: str, due_at_ms: int) -> ListenerCommand:
        assert name == listeners.STREAK_TIMER, f"a listener sets no timer {name!r}"
        return CheckStreak(due_at_ms)

    def channels(self, entity_id: str, event: ListenerEvent) -> tuple[str, ...]:
        return (user_channel(entity_id),)

    async def project(
        self, connection: Connection, applied: Sequence[Applied[ListenerEvent]]
    ) -> None:
        await storage.write_streaks(connection, [a.event for a in applied])


class PayeesKind(EntityKind[Payee, PayeeCommand, PayeeEvent]):
    """Entity `user:<id>` or `artist:<id>`: what waits for the minimum payout."""

    name = "payees"
    stream = STREAM
    command_type = PayeeCommand
    event_type = PayeeEvent
    state_type = Payee
    answer_type = PayeeView
    queries: ClassVar[frozenset[type]] = frozenset({GetPayee})
    public: ClassVar[frozenset[type]] = PUBLIC_PAYEE_EVENTS

    def __init__(self, policy: RewardPolicy) -> None:
        self._policy = policy

    def initial(self, entity_id: str) -> Payee:
        return payees.initial(entity_id)

    def decide(self, state: Payee, command: PayeeCommand, now_ms: int) -> Decision[PayeeEvent]:
        return payees.decide(self._policy, state, command, now_ms)

    def evolve(self, state: Payee, event: PayeeEvent) -> Payee:
        return payees.evolve(state, event)

    def channels(self, entity_id: str, event: PayeeEvent) -> tuple[str, ...]:
        return (payee_channel(entity_id),)

    async def project(self, connection: Connection, applied: Sequence[Applied[PayeeEvent]]) -> None:
        await storage.write_payees(connection, [a.event for a in applied])
