"""The statement `listen-v1` outside the circuit: rows, chain, leaf, and the public signals.

What the engine folds here, the circuit folds again from its private inputs: docs/contexts/proof.md.
A timeline is cut into stretches of at most ROWS rows, a row being a ticket's nonce and the played
time that its beat was credited; each stretch has a leaf of its own.
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence

import msgspec

from domain.field import element
from messages.rewards import BadSignals

ROWS = 72  # of a stretch
CHUNK_ROWS = 12  # hashed at once
STRETCHES = 256  # of a session: a stretch's number is one byte of its session element
DELTA_BITS = 16
MAX_DELTA_MS = 2**DELTA_BITS - 1
PLAYED_BITS = 23


class Row(msgspec.Struct, frozen=True, array_like=True):
    """A credited beat. nonce: 31 bytes, big-endian a field element.  delta_ms: at least 1."""

    nonce: bytes
    delta_ms: int


class Signals(msgspec.Struct, frozen=True, array_like=True):
    """The public signals, in the circuit's order."""

    nullifier: int
    root: int
    min_played_ms: int
    max_gap_ms: int
    recipient: int
    epoch: int


def element_of(identifier: str) -> int:
    """A pool's or a user's field element: its UUID as a number, below 2^128."""
    return uuid.UUID(identifier).int


def session_element(session_id: str, stretch: int) -> int:
    """A stretch's field element: the session's UUID and the stretch's number, 0 to 255."""
    assert 0 <= stretch < STRETCHES, "a stretch's number is one byte"
    return element_of(session_id) * STRETCHES + stretch


def stretches(rows: Sequence[Row]) -> list[Sequence[Row]]:
    """The rows cut into stretches. What a session has beyond STRETCHES of them is in none."""
    starts = range(0, min(len(rows), ROWS * STRETCHES), ROWS)
    return [rows[start : start + ROWS] for start in starts]


def chain(rows: Sequence[Row]) -> int:
    """Up to ROWS rows folded: each chunk is hashed with what the ones before it gave.

    All chunks are hashed, also the empty ones; unused rows at the end are zeros.
    """
    assert len(rows) <= ROWS, "a stretch has no more rows"
    assert all(1 <= row.delta_ms <= MAX_DELTA_MS for row in rows), "a row credits some time"
    folded = 0
    for start in range(0, ROWS, CHUNK_ROWS):
        part = rows[start : start + CHUNK_ROWS]
        nonces = [int.from_bytes(row.nonce, "big") for row in part]
        packed = sum(row.delta_ms << (DELTA_BITS * place) for place, row in enumerate(part))
        empty = [0] * (CHUNK_ROWS - len(part))
        folded = _hash([folded, *nonces, *empty, packed])
    return folded


def leaf(commitment: int, session: int, pool: int, folded: int) -> int:
    """The leaf of a stretch: who may claim it, what was listened to, who pays."""
    return _hash([commitment, session, pool, folded])


def fold(commitment: str, session_id: str, pool_id: str, rows: Sequence[Row]) -> list[int]:
    """The leaves of a session, a leaf for each stretch."""
    pool, owner = element_of(pool_id), int(commitment)
    return [
        leaf(owner, session_element(session_id, number), pool, chain(part))
        for number, part in enumerate(stretches(rows))
    ]


def _hash(values: list[int]) -> int:
    # Imported when used: most processes know the rules and hash nothing.
    from kernels.poseidon import hash_fields

    return hash_fields(values)


def read_signals(texts: Sequence[str]) -> Signals:
    """The public signals from snarkjs's decimal texts. Raises BadSignals.

    Each number has one form only, so that a nullifier cannot be spent again in another spelling.
    """
    names = Signals.__struct_fields__
    if len(texts) != len(names):
        raise BadSignals(f"there are {len(names)} public signals", expected=len(names))
    values = []
    for name, text in zip(names, texts, strict=True):
        if (value := element(text)) is None:
            raise BadSignals("not a decimal number below the field's order", signal=name)
        values.append(value)
    return Signals(*values)
