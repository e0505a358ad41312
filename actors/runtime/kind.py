"""The contract of an entity kind: what a context supplies for a runtime to own its entities."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar, Generic, NamedTuple, Protocol, TypeVar, cast

import msgspec

from domain.decision import Decision, Forget, Remind
from messages.ledger import LedgerTransaction
from storage.database import Connection

S = TypeVar("S")  # state: a frozen msgspec.Struct (or a mutable one that only evolve touches)
C = TypeVar("C")  # command: a tagged union of frozen msgspec.Structs
C_contra = TypeVar("C_contra", contravariant=True)
E = TypeVar("E", bound=msgspec.Struct)  # event: a tagged union of frozen msgspec.Structs


class Applied(msgspec.Struct, Generic[E], frozen=True):
    """An event with its place in the journal, as projections and the outbox see it."""

    entity_id: str
    sequence: int
    at_ms: int
    event: E


class Told(NamedTuple):
    """A public event on its way to the bus, with its place in the journal."""

    entity_id: str
    sequence: int
    event: Any
    place: int = 0  # of several that follow from one in the journal, from 1 on


class Asked(msgspec.Struct, Generic[S, C], frozen=True):
    """A command that is about to be decided, with its entity as the batch found it."""

    entity_id: str
    state: S
    command: C


class Gathered(Protocol):
    """What commands that were decided together came to: one fact, and all that follows from it."""

    @property
    def fact(self) -> Any:
        """The event that is journalled for all of them."""

    @property
    def told(self) -> Sequence[Any]:
        """Events that follow from the fact: projected, published if they are public, not kept."""

    @property
    def transactions(self) -> Sequence[LedgerTransaction]:
        """As in a decision, and what the commands need of the ledger among them."""

    @property
    def timers(self) -> Sequence[Remind | Forget]:
        """As in a decision."""


class Gathering(Protocol[C_contra]):
    """Commands of one entity that are decided one after the other and make one fact.

    The state is ahead meanwhile (`decides_ahead`). part: the event that each of them journals, with
    its answer and its key.  transactions: how many there are so far that are not netted.
    """

    @property
    def part(self) -> Any: ...
    @property
    def transactions(self) -> int: ...
    @property
    def is_empty(self) -> bool: ...
    @property
    def is_full(self) -> bool: ...

    def take(self, asked: C_contra) -> Any:
        """Decide a command, or what `prepare` made of it; its answer. A Refusal changes nothing."""

    def finish(self) -> Gathered:
        """All of them are in. Not asked where it is empty."""


class EntityKind(ABC, Generic[S, C, E]):
    """A class per kind. `decide`, `evolve`, `reserve` and `reminded` are pure.

    name: in the journal and in placement; never changes.  stream: the bus stream of its events.
    command_type, event_type, state_type: what msgspec decodes (tagged unions for the first two).
    answer_type: what callers get decoded; with Any, plain dicts and lists.
    queries: command classes that never change anything. They cost no look-up of their key.
    public: event classes that go to the bus; the others stay in the journal.
    partitions: fixed for ever.  snapshot_every: events between two snapshots of an entity.
    netted: purposes of transfers that a batch posts as their sum for each pair of accounts (holds
    of open orders, which the next command may release): the facts say what each one's part was.
    gathered: command classes that `gather` takes, as long as a batch nets (`netted`).
    overlaps: whether the next batch may be decided, on what memory will be, while one is written.
    Then `prepare` sees the kind's own tables without what is being written.
    decides_ahead: `decide` may change the state to what its events will make of it, `evolve` then
    finds that done; what it refuses it leaves as it was. For states that are costly to copy (an
    order book): when anything goes wrong, the entity is forgotten and rebuilt from its facts.
    """

    name: ClassVar[str]
    stream: ClassVar[str]
    command_type: ClassVar[Any]
    event_type: ClassVar[Any]
    state_type: ClassVar[Any]
    answer_type: ClassVar[Any] = Any
    queries: ClassVar[frozenset[type]] = frozenset()
    public: ClassVar[frozenset[type]] = frozenset()
    partitions: ClassVar[int] = 64
    snapshot_every: ClassVar[int] = 100
    netted: ClassVar[frozenset[str]] = frozenset()
    gathered: ClassVar[frozenset[type]] = frozenset()
    overlaps: ClassVar[bool] = False
    decides_ahead: ClassVar[bool] = False

    @abstractmethod
    def initial(self, entity_id: str) -> S:
        """The state of an entity that has no journal yet."""

    @abstractmethod
    def decide(self, state: S, command: C, now_ms: int) -> Decision[E]:
        """What the command does. Raises a Refusal to say no; must not change `state`, unless the
        kind `decides_ahead`.

        It may be asked again about a command when the batch around it could not be committed.
        A decision that moves value has events: they are the record that it happened.
        """

    @abstractmethod
    def evolve(self, state: S, event: E) -> S:
        """The state after a fact. Total: a fact is never refused."""

    def stored(self, state: S) -> Any:
        """What a snapshot keeps of the state: a `state_type`, which msgspec can encode."""
        return state

    def restored(self, kept: Any) -> S:
        """The state that a snapshot kept."""
        return cast("S", kept)

    def essence(self, command: C) -> C:
        """The command without what its sender filled in from elsewhere (a tier, a time zone).

        Sent again with its key it is the same command, and gets its recorded answer, if this is.
        """
        return command

    async def prepare(self, connection: Connection, asked: Sequence[Asked[S, C]]) -> Sequence[Any]:
        """Find out, for a whole batch at once, what no pure function can: look up, compute, verify.

        Returns, for each command, what `decide` shall be asked in its place, or None for the
        command as it came. Writes nothing. Awaited once for each attempt at a batch, after the
        fence was seen to hold: whatever is read here of the kind's own tables is as true as memory,
        or the batch cannot be committed. Long computing belongs off the event loop; the lane waits.
        What is raised fails the attempt as a failed statement would.
        """
        return [None] * len(asked)

    def reserve(self, state: S, command: C, now_ms: int) -> tuple[LedgerTransaction, ...]:
        """Ledger transactions that must succeed before `decide` is asked (holds, payments in).

        They are posted ahead of what the batch decides. Where the ledger refuses one, the command
        is answered with InsufficientFunds and nothing of it happens; where `decide` refuses, or has
        no events, nothing is reserved. `state` is that of the batch's start: commands of the same
        batch may come between it and `decide`.
        """
        return ()

    def gather(self, state: S, now_ms: int) -> Gathering[Any] | None:
        """Where the next commands of the `gathered` classes are decided together, as far as they
        follow each other. None: one by one."""
        return None

    def needs(self, state: S, asked: Any) -> tuple[str, int] | None:
        """What `reserve` is to commands that are gathered: an account and how much of it they take.

        asked: what `prepare` made of the command, or the command.
        """
        return None

    def reminded(self, name: str, due_at_ms: int) -> C:
        """The command that a due timer becomes. Kinds that set timers override it.

        A timer is done with when its command was decided or refused. `due_at_ms` is as it was set.
        """
        raise NotImplementedError(f"{type(self).__name__} sets no timers")

    def channels(self, entity_id: str, event: E) -> tuple[str, ...]:
        """The realtime channels a public event is shown on."""
        return ()

    def merged(self, told: Sequence[Told]) -> Sequence[Told]:
        """The public events of a batch, as the bus shall have them. Pure.

        One may stand for several of an entity and say what all of them said, in the place of the
        last: at a thousand commands a second nobody looks at each, and each costs a row.
        """
        return told

    async def project(self, connection: Connection, applied: Sequence[Applied[E]]) -> None:
        """Write the kind's own tables, set-based, in the batch's transaction."""
