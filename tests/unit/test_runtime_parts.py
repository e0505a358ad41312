"""The runtime's pure parts: placement, codec, memory, the deciding of a batch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.runtime.batch import Batch, Redo
from actors.runtime.codec import Codec, encode, error_answer, fingerprint
from actors.runtime.entities import BrokenHistoryError, Entity, LiveEntities, rebuild
from actors.runtime.kind import EntityKind, Told
from actors.runtime.mail import Item, Timer
from actors.runtime.placement import assign, moves
from domain.decision import Decision
from messages.envelope import Answer
from messages.errors import Conflict
from messages.keys import derive_key, partition_of
from storage.journal import History
from tests.integration.runtime_kinds import (
    Add,
    Added,
    Break,
    Broke,
    Count,
    Counter,
    CounterCommand,
    CounterEvent,
    Get,
    Hush,
    Rang,
    Ring,
)

KIND = Counter()
CODEC = Codec(KIND)
HOSTS = st.sets(st.from_regex(r"[a-z]+-[0-9]", fullmatch=True), min_size=1, max_size=6)


# --- placement ----------------------------------------------------------------------------------


@given(HOSTS)
def test_every_partition_has_a_place_whatever_the_order(hosts: set[str]) -> None:
    placed = assign("k", 64, hosts)
    assert sorted(placed) == list(range(64))
    assert set(placed.values()) <= hosts
    assert assign("k", 64, sorted(hosts, reverse=True)) == placed


@given(HOSTS, st.data())
def test_only_the_partitions_of_a_lost_host_move(hosts: set[str], data: st.DataObject) -> None:
    lost = data.draw(st.sampled_from(sorted(hosts)))
    if rest := hosts - {lost}:
        before, after = assign("k", 64, hosts), assign("k", 64, rest)
        assert {p for p in before if before[p] != after[p]} == {
            p for p, host in before.items() if host == lost
        }
        assert moves(before, after) == {p: after[p] for p in before if before[p] == lost}


def test_hosts_share_evenly_enough_and_kinds_differ() -> None:
    placed = assign("k", 256, ["a", "b", "c", "d"])
    counts = [list(placed.values()).count(host) for host in "abcd"]
    assert min(counts) > 40
    assert assign("other", 256, ["a", "b", "c", "d"]) != placed


def test_without_hosts_there_is_no_placement() -> None:
    with pytest.raises(ValueError, match="no host"):
        assign("k", 4, [])


# --- codec --------------------------------------------------------------------------------------


class Wei(msgspec.Struct, frozen=True, tag=True):
    amount_minor: int
    note: bytes = b""


class WeiKind(Counter):
    command_type: ClassVar[Any] = Wei
    event_type: ClassVar[Any] = Wei
    state_type: ClassVar[Any] = Wei
    answer_type: ClassVar[Any] = Any


@given(st.integers(), st.binary())
def test_values_of_any_size_come_back(amount: int, note: bytes) -> None:
    codec, wei = Codec(WeiKind()), Wei(amount, note)
    assert codec.command(encode(wei)) == wei
    assert codec.events(encode((wei, wei))) == [wei, wei]


@given(st.integers(-(2**63), 2**64 - 1))
def test_a_bare_integer_comes_back(number: int) -> None:
    assert Codec(WeiKind()).answer(encode(number)) == number


def test_an_integer_that_would_not_come_back_is_refused() -> None:
    with pytest.raises(OverflowError):
        encode(10**30)


def test_fingerprints_tell_entities_and_bodies_apart() -> None:
    prints = {
        fingerprint(*p) for p in [("a", b"x"), ("a", b"y"), ("b", b"x"), ("ax", b""), ("", b"ax")]
    }
    assert len(prints) == 5
    assert all(-(2**63) <= p < 2**63 for p in prints)


def test_an_errors_params_travel_whatever_they_are() -> None:
    answer = error_answer(Conflict("no", wei=10**30, half=0.5, count=3))  # type: ignore[arg-type]
    assert msgspec.msgpack.decode(encode([answer]), type=list[Answer]) == [answer]
    assert answer.params == {"wei": str(10**30), "half": "0.5", "count": 3}


# --- memory -------------------------------------------------------------------------------------


def live(*names: str) -> LiveEntities:
    made = LiveEntities()
    for moment, name in enumerate(names):
        made.add(Entity(name, partition_of(name, 8), Count(), 0), moment)
    return made


def names_of(entities: list[Entity]) -> str:
    return "".join(entity.entity_id for entity in entities)


def test_the_idle_and_the_surplus_leave_oldest_first() -> None:
    entities = live(*"abcde")
    entities.use("b", 9)
    assert names_of(entities.surplus(10, idle_ms=8, most=99, limit=99)) == "ac"
    assert names_of(entities.surplus(10, idle_ms=99, most=2, limit=99)) == "acd"
    assert names_of(entities.surplus(10, idle_ms=1, most=0, limit=2)) == "ac"


def test_partitions_are_forgotten_whole() -> None:
    entities = live(*"abcdefgh")
    gone = partition_of("a", 8)
    entities.forget_partitions({gone})
    assert {e.entity_id for e in entities} == {n for n in "abcdefgh" if partition_of(n, 8) != gone}
    assert entities.missing("a") == ["a"]


@given(st.lists(st.lists(st.integers(-5, 5), min_size=1, max_size=4)), st.data())
def test_rebuilding_is_replaying(commands: list[list[int]], data: st.DataObject) -> None:
    """Snapshot anywhere, and what follows, is the same as the whole."""
    rows, sequence, states = [], 1, [(0, Count())]
    for amounts in commands:
        rows.append((sequence, encode([Added(amount) for amount in amounts])))
        sequence += len(amounts)
        states.append((sequence - 1, Count(states[-1][1].count + sum(amounts))))
    cut = data.draw(st.integers(0, len(rows)))
    saved, state = states[cut]
    whole = rebuild(KIND, CODEC, "a", 1, History(0, None, rows))
    rest = rebuild(KIND, CODEC, "a", 1, History(saved, encode(state), rows[cut:]))
    assert (whole.state, whole.sequence) == (rest.state, rest.sequence) == states[-1][::-1]
    assert rest.unsaved_events == whole.sequence - saved


def test_a_hole_in_the_journal_is_noticed() -> None:
    row = encode([Added(1)])
    with pytest.raises(BrokenHistoryError, match="event 2 is missing"):
        rebuild(KIND, CODEC, "a", 1, History(0, None, [(1, row), (3, row)]))


# --- a batch ------------------------------------------------------------------------------------


class Asked:
    def answered(self, index: int, answer: Answer) -> None:
        raise NotImplementedError


def item(command: Any, entity_id: str = "a", timer: Timer | None = None) -> Item:
    made = Item(
        Asked(),
        0,
        derive_key(id(command)),
        entity_id,
        partition_of(entity_id, 8),
        encode(command),
        timer,
    )
    made.command = command
    made.is_query = type(command) in KIND.queries
    return made


def decided(*items: Item, most: int = 1_000) -> Batch:
    batch = Batch(KIND, live("a", "b"), 1_000)
    batch.decide(items, {}, most)
    batch.end()
    return batch


def test_nothing_is_answered_before_the_commit() -> None:
    add, look = item(Add(2)), item(Get())
    batch = decided(add, look)
    assert (add.answer, look.answer) == (None, None)
    batch.commit()
    assert add.answer == look.answer == Answer(encode(Count(2)))


def test_a_batch_without_facts_writes_nothing() -> None:
    batch = decided(item(Get()), item(Add(-1)))
    assert not batch.writes
    assert not batch.partitions


def test_rows_follow_each_other_by_entity() -> None:
    batch = decided(item(Add(1)), item(Add(2), "b"), item(Add(3)))
    rows = [(row.entity_id, row.sequence) for row in batch.writes.journal]
    assert rows == [("a", 1), ("b", 1), ("a", 2)]
    assert batch.partitions == {partition_of("a", 8), partition_of("b", 8)}


def test_the_last_word_on_a_timer_counts() -> None:
    place = ("a", "ring")
    batch = decided(item(Add(1, 5)), item(Add(1, 6)))
    assert (batch.writes.remind, batch.writes.forget) == ({place: (partition_of("a", 8), 6)}, {})
    batch = decided(item(Add(1, 5)), item(Hush()))
    assert (batch.writes.remind, batch.writes.forget) == ({}, {place: None})
    batch = decided(item(Hush()), item(Add(1, 5)))
    assert (batch.writes.remind, batch.writes.forget) == ({place: (partition_of("a", 8), 5)}, {})


def test_a_timer_is_done_with_when_it_was_decided() -> None:
    batch = decided(item(Ring(5), timer=Timer("a", "ring", 5)))
    assert batch.writes.forget == {("a", "ring"): 5}
    assert CODEC.events(batch.writes.journal[0].events) == [Rang(5)]


def test_a_timer_that_this_batch_changed_is_not_decided() -> None:
    batch = decided(item(Add(1, 9)), item(Ring(5), timer=Timer("a", "ring", 5)))
    assert len(batch.writes.journal) == 1
    assert batch.writes.remind == {("a", "ring"): (partition_of("a", 8), 9)}


def test_a_fact_that_cannot_be_evolved_settles_its_command_and_redoes_the_rest() -> None:
    items = [item(Add(1)), item(Break("evolve"))]
    batch = Batch(KIND, live("a"), 1_000)
    with pytest.raises(Redo):
        batch.decide(items, {}, 1_000)
    assert "a" in batch.touched
    assert items[0].answer is None
    assert items[1].answer is not None
    assert items[1].answer.code == "internal"


class Tape:
    """A state that is costly to copy: changed in place, and it knows how far it came."""

    def __init__(self, marks: list[int]) -> None:
        self.marks = marks


class Recorder(EntityKind[Tape, CounterCommand, CounterEvent]):
    """Decides ahead: by the time of its event the mark is made."""

    name, stream = "recorder", "counters"
    command_type, event_type = CounterCommand, CounterEvent
    state_type = list[int]
    decides_ahead, snapshot_every = True, 2
    _told = 0

    def initial(self, entity_id: str) -> Tape:
        return Tape([])

    def decide(self, state: Tape, command: CounterCommand, now_ms: int) -> Decision[CounterEvent]:
        assert isinstance(command, Add)
        if command.amount == 0:
            raise Conflict
        state.marks.append(command.amount)
        if command.amount < 0:
            raise RuntimeError("half done")
        return Decision((Rang(len(state.marks)), Added(command.amount)))

    def evolve(self, state: Tape, event: CounterEvent) -> Tape:
        if isinstance(event, Added) and len(state.marks) < self._told:
            state.marks.append(event.amount)
        elif isinstance(event, Rang):
            self._told = event.due_at_ms
        return state

    def stored(self, state: Tape) -> list[int]:
        return state.marks

    def restored(self, kept: Any) -> Tape:
        return Tape(kept)


def test_a_kind_that_decides_ahead_is_rebuilt_as_it_was() -> None:
    kind, entities = Recorder(), live("a")
    state = entities.use("a", 0).state = kind.initial("a")
    batch = Batch(kind, entities, 1_000)
    batch.decide([item(Add(5)), item(Add(0)), item(Add(7))], {}, 1_000)
    batch.end()
    assert state.marks == [5, 7]
    rows = [(row.sequence, row.events) for row in batch.writes.journal]
    [snapshot] = batch.writes.snapshots
    for history in (History(0, None, rows), History(4, snapshot.state, [])):
        assert rebuild(kind, Codec(kind), "a", 1, history).state.marks == [5, 7]


def test_what_failed_ahead_of_its_facts_is_forgotten() -> None:
    kind, entities, items = Recorder(), live("a"), [item(Add(5)), item(Add(-1)), item(Add(7))]
    entities.use("a", 0).state = kind.initial("a")
    batch = Batch(kind, entities, 1_000)
    with pytest.raises(Redo):
        batch.decide(items, {}, 1_000)
    assert "a" in batch.touched
    assert [each.answer.code if each.answer else None for each in items] == [None, "internal", None]


class Terse(Counter):
    """Tells the last fact of each entity alone."""

    public = frozenset({Added, Broke})

    def merged(self, told: Sequence[Told]) -> Sequence[Told]:
        return list({one.entity_id: one for one in told}.values())


def test_one_event_may_stand_for_those_of_a_batch() -> None:
    batch = Batch(Terse(), live("a", "b"), 1_000)
    items = [item(Add(1)), item(Add(2), "b"), item(Add(3))]
    batch.decide(items, {}, 1_000)
    batch.end()
    told = [(one.entity_id, one.sequence, one.type) for one in batch.public]
    assert told == [("a", 2, "Added"), ("b", 1, "Added")]
    assert len(batch.writes.journal) == 3, "the journal has all of them"


class Chatty(Counter):
    """Its query changes something: a bug."""

    queries = frozenset({Get, Add})


def test_a_query_that_changes_something_fails() -> None:
    look = item(Add(1))
    look.is_query = True
    batch = Batch(Chatty(), live("a"), 1_000)
    batch.decide([look], {}, 1_000)
    batch.commit()
    assert look.answer is not None
    assert look.answer.code == "internal"
    assert not batch.writes
