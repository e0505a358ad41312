"""The statement outside the circuit: stretches, chain, leaf, signals, by their definition."""

from __future__ import annotations

import uuid

import pytest

from domain import statement
from domain.field import SCALAR_ORDER, element
from domain.statement import CHUNK_ROWS, ROWS, Row
from kernels.poseidon import ORDER, hash_fields

SESSION = "0197a000-0000-7000-8000-000000001001"
POOL = "0197a000-0000-7000-8000-00000000000c"


def rows(count: int) -> list[Row]:
    return [Row(bytes([n % 251]) * 31, 1 + n) for n in range(count)]


def naive_chain(given: list[Row]) -> int:
    """One row at a time, zeros where there is none."""
    folded = 0
    for chunk in range(ROWS // CHUNK_ROWS):
        nonces, packed = [], 0
        for place in range(CHUNK_ROWS):
            index = chunk * CHUNK_ROWS + place
            known = index < len(given)
            nonces.append(int.from_bytes(given[index].nonce, "big") if known else 0)
            packed += (given[index].delta_ms if known else 0) * 2 ** (16 * place)
        folded = hash_fields([folded, *nonces, packed])
    return folded


def test_the_field_is_that_of_the_kernels() -> None:
    assert SCALAR_ORDER == ORDER
    assert element(str(ORDER - 1)) == ORDER - 1
    assert element(str(ORDER)) is None


@pytest.mark.parametrize("count", [0, 1, 11, 12, 13, 71, 72])
def test_a_chain_hashes_every_chunk(count: int) -> None:
    assert statement.chain(rows(count)) == naive_chain(rows(count))


def test_a_session_is_cut_into_stretches_with_a_leaf_each() -> None:
    given = rows(2 * ROWS + 1)
    leaves = statement.fold("77", SESSION, POOL, given)
    session, pool = uuid.UUID(SESSION).int, uuid.UUID(POOL).int
    parts = (given[:ROWS], given[ROWS : 2 * ROWS], given[2 * ROWS :])
    assert leaves == [
        hash_fields([77, session * 256 + number, pool, naive_chain(part)])
        for number, part in enumerate(parts)
    ]


def test_order_nonces_and_times_all_matter() -> None:
    given = rows(3)
    changed = [
        [given[1], given[0], given[2]],
        [given[0], given[1], Row(b"x" * 31, 3)],
        [given[0], given[1], Row(given[2].nonce, 4)],
        given[:2],
    ]
    assert len({statement.chain(each) for each in [given, *changed]}) == 5


def test_a_session_of_too_many_rows_keeps_the_first() -> None:
    given = rows(3) * (ROWS * statement.STRETCHES)
    assert len(statement.stretches(given)) == statement.STRETCHES
