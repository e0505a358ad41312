"""The audit log's chain: what is done to a sealed log is found, at the place where it was done."""

from __future__ import annotations

import hashlib

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.audit import GENESIS, Check, canonical, link, seal
from messages.audit import AuditEntry, AuditFault, Fault, Seal

Log = list[tuple[Seal, AuditEntry | None]]


def entry(n: int, **changes: object) -> AuditEntry:
    made = AuditEntry(n, 100 + n, 1_000 * n, "session.revoked", "u-1", f"session:{n}", {"n": n})
    return msgspec.structs.replace(made, **changes)


def log(count: int) -> Log:
    entries = [entry(n) for n in range(1, count + 1)]
    return list(zip(seal(None, entries), entries, strict=True))


def faults(rows: Log, pins: dict[int, bytes] | None = None) -> list[AuditFault]:
    check = Check()
    for sealed, found in rows:
        check.take(sealed, found)
        if pins and sealed.number in pins:
            check.pinned(sealed.number, pins[sealed.number])
    return check.faults


def test_the_hash_covers_the_one_before_and_the_entry_as_it_is_written_down() -> None:
    one = entry(1, detail={"ü": "é", "a": 1})
    assert canonical(one).decode() == (
        '[1,101,1000,"session.revoked","u-1","session:1",{"a":1,"ü":"é"}]'
    )
    assert link(GENESIS, one) == hashlib.sha256(bytes(32) + canonical(one)).digest()


@given(st.integers(0, 12), st.integers(0, 12))
def test_sealing_in_parts_is_sealing_at_once(first: int, then: int) -> None:
    entries = [entry(n) for n in range(1, first + then + 1)]
    part = seal(None, entries[:first])
    assert part + seal(part[-1] if part else None, entries[first:]) == seal(None, entries)


def test_a_log_as_it_was_sealed_has_no_fault() -> None:
    assert not faults(log(5))
    assert not faults([])


FIELDS: dict[str, object] = {
    "at_ms": 7,
    "xid": 7,
    "action": "session.started",
    "actor": "u-2",
    "subject": "session:x",
    "detail": {},
}


@given(st.integers(1, 6), st.integers(0, 5), st.sampled_from(sorted(FIELDS)))
def test_a_changed_entry_is_found_where_it_stands(count: int, at: int, field: str) -> None:
    rows, at = log(count), at % count
    sealed, was = rows[at]
    assert was is not None
    rows[at] = (sealed, msgspec.structs.replace(was, **{field: FIELDS[field]}))
    assert faults(rows) == [AuditFault(Fault.CHANGED, sealed.number, was.entry_id)]


@given(st.integers(1, 6), st.integers(0, 5))
def test_a_removed_entry_is_found(count: int, at: int) -> None:
    rows, at = log(count), at % count
    sealed, _ = rows[at]
    rows[at] = (sealed, None)
    assert faults(rows) == [AuditFault(Fault.REMOVED, sealed.number, sealed.entry_id)]


@given(st.integers(2, 6), st.integers(0, 4))
def test_a_seal_removed_with_its_entry_leaves_a_hole(count: int, at: int) -> None:
    rows, at = log(count), at % (count - 1)
    del rows[at]
    assert AuditFault(Fault.MISSING, at + 1, 0) in faults(rows)


@given(st.integers(2, 6), st.integers(0, 4))
def test_a_seal_and_its_entry_in_anothers_place_are_found(count: int, at: int) -> None:
    rows, at = log(count), at % (count - 1)
    (one, first), (two, second) = rows[at : at + 2]
    swap = msgspec.structs.replace
    rows[at : at + 2] = [
        (swap(two, number=one.number), second),
        (swap(one, number=two.number), first),
    ]
    assert Fault.MOVED in {fault.kind for fault in faults(rows)}


@given(st.integers(1, 6), st.integers(0, 5))
def test_a_chain_made_anew_is_whole_but_not_the_one_that_was_pinned(count: int, at: int) -> None:
    old, at = log(count), at % count
    entries = [found for _, found in old if found is not None]
    entries[at] = msgspec.structs.replace(entries[at], actor="somebody else")
    rows: Log = list(zip(seal(None, entries), entries, strict=True))
    assert not faults(rows)
    last = old[-1][0]
    assert faults(rows, {last.number: last.hash}) == [AuditFault(Fault.REWRITTEN, count, 0)]


@pytest.mark.parametrize("number", [2, 3])
def test_a_forged_seal_is_told_once_and_once_more_where_it_is_built_upon(number: int) -> None:
    rows = log(3)
    sealed, found = rows[number - 1]
    rows[number - 1] = (msgspec.structs.replace(sealed, hash=bytes(32)), found)
    told = faults(rows)
    assert told[0] == AuditFault(Fault.CHANGED, number, number)
    assert len(told) == (2 if number < 3 else 1)
