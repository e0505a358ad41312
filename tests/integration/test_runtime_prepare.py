"""What a kind finds out for a whole batch before its commands are decided."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import TypeAlias

import asyncpg
import msgspec
import pytest

from actors.runtime.kind import Asked, EntityKind
from domain.decision import Decision
from messages.errors import Conflict
from storage import placement
from storage.database import Connection
from tests.integration.runtime_support import World, answers, codes, key, sent


class Guess(msgspec.Struct, frozen=True, tag=True):
    """A guess at a square root; the kind's own look-up tells whether it is right."""

    root: int
    square: int


class Judged(msgspec.Struct, frozen=True, tag=True):
    """A guess that was looked into. No command: it cannot come from outside."""

    guess: Guess
    right: bool


class Guessed(msgspec.Struct, frozen=True, tag=True):
    square: int


class Total(msgspec.Struct, frozen=True):
    guesses: int = 0


Asks: TypeAlias = "Sequence[Asked[Total, Guess | Judged]]"


class Guesses(EntityKind[Total, "Guess | Judged", Guessed]):
    """Counts right guesses. Zero is decided as it comes; a root of 13 cannot be looked into."""

    name = "counter"  # placed by the world
    stream = "guesses"
    command_type = Guess
    event_type = Guessed
    state_type = Total
    answer_type = Total

    def __init__(self) -> None:
        self.batches: list[list[tuple[int, int]]] = []
        self.failures: list[Exception] = []

    def initial(self, entity_id: str) -> Total:
        return Total()

    async def prepare(self, connection: Connection, asked: Asks) -> list[Judged | None]:
        guesses = [a.command for a in asked if isinstance(a.command, Guess)]
        roots = [guess.root for guess in guesses]
        states = [a.state.guesses for a in asked]
        self.batches.append(list(zip(states, roots, strict=True)))
        if self.failures:
            raise self.failures.pop()
        if 13 in roots:
            raise RuntimeError("bad luck")
        rows = await connection.fetch("select r * r from unnest($1::bigint[]) as r", roots)
        pairs = zip(guesses, rows, strict=True)
        return [Judged(guess, guess.square == r[0]) if r[0] else None for guess, r in pairs]

    def decide(self, state: Total, command: Guess | Judged, now_ms: int) -> Decision[Guessed]:
        if isinstance(command, Guess):
            assert command.root == 0
            raise Conflict("not prepared")
        if not command.right:
            raise Conflict("wrong")
        return Decision((Guessed(command.guess.square),), Total(state.guesses + 1))

    def evolve(self, state: Total, event: Guessed) -> Total:
        return Total(state.guesses + 1)


@pytest.fixture
async def kind(world: World) -> Guesses:
    made = Guesses()
    where = dict.fromkeys(range(made.partitions), "h0")
    await placement.ensure(world.pool, made.name, where)
    await world.start(kinds=[made])
    return made


async def test_a_batch_is_prepared_at_once_and_decided_by_what_was_found(
    world: World, kind: Guesses
) -> None:
    asked = [Guess(3, 9), Guess(4, 15), Guess(0, 0), Guess(5, 25)]
    found = await answers(world.hosts["h0"], "counter", *map(sent, asked))
    assert codes(found) == ["", "conflict", "conflict", ""]
    assert kind.batches == [[(0, 3), (0, 4), (0, 0), (0, 5)]]
    await answers(world.hosts["h0"], "counter", sent(Guess(6, 36)))
    assert kind.batches[-1] == [(2, 6)]


async def test_a_verdict_cannot_be_sent_along(world: World, kind: Guesses) -> None:
    forged = await answers(world.hosts["h0"], "counter", sent(Judged(Guess(2, 5), right=True)))
    assert codes(forged) == ["malformed-command"]
    assert kind.batches == []


async def test_what_is_answered_already_is_not_prepared_again(world: World, kind: Guesses) -> None:
    own = key()
    first = await answers(world.hosts["h0"], "counter", sent(Guess(3, 9), own_key=own))
    again = await answers(world.hosts["h0"], "counter", sent(Guess(3, 9), own_key=own))
    assert again == first
    assert len(kind.batches) == 1


async def test_a_passing_failure_prepares_anew(world: World, kind: Guesses) -> None:
    kind.failures = [asyncpg.DeadlockDetectedError("again")]
    found = await answers(world.hosts["h0"], "counter", sent(Guess(3, 9)))
    assert codes(found) == [""]
    assert len(kind.batches) == 2


async def test_a_defect_in_preparing_fails_its_own_command_only(
    world: World, kind: Guesses
) -> None:
    asked = [Guess(3, 9), Guess(13, 169), Guess(5, 25), Guess(6, 36)]
    found = await asyncio.wait_for(
        answers(world.hosts["h0"], "counter", *map(sent, asked)), timeout=20
    )
    assert codes(found) == ["", "internal", "", ""]
