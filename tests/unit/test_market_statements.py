"""The Merkle-sum tree of a distribution: each part climbs to the root, and nothing else does."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.market.statements import Node, Part, climb, join, leaf, leaf_salt, path_to, root_of
from tools import check_statement

DISTRIBUTION = "0197c000-0000-7000-8000-000000000001"
SALT = "5a" * 16
amounts = st.lists(st.integers(0, 2**70), min_size=1, max_size=40)


def leaves_of(sums: list[int]) -> list[Node]:
    parts = [Part(f"user {i}", i, amount, leaf_salt(SALT, i)) for i, amount in enumerate(sums)]
    return [leaf(DISTRIBUTION, part) for part in parts]


def naive_root(leaves: list[Node]) -> Node:
    """RFC 6962's definition: split at the largest power of two below the count."""
    if len(leaves) == 1:
        return leaves[0]
    half = 1
    while half * 2 < len(leaves):
        half *= 2
    return join(naive_root(leaves[:half]), naive_root(leaves[half:]))


@given(amounts)
def test_the_root_is_rfc_6962s_and_sums_to_the_whole(sums: list[int]) -> None:
    leaves = leaves_of(sums)
    assert root_of(leaves) == naive_root(leaves)
    assert root_of(leaves).sum_minor == sum(sums)


@given(amounts)
def test_each_part_climbs_to_the_root(sums: list[int]) -> None:
    leaves = leaves_of(sums)
    for index, node in enumerate(leaves):
        path = path_to(leaves, index)
        assert climb(node, index, len(leaves), path) == root_of(leaves)
        assert len(path) <= len(leaves).bit_length()


@given(amounts, st.data())
def test_the_shipped_script_says_the_same(sums: list[int], data: st.DataObject) -> None:
    leaves = leaves_of(sums)
    index = data.draw(st.integers(0, len(sums) - 1))
    path = path_to(leaves, index)
    statement = {
        "format": check_statement.FORMAT,
        "distribution_id": DISTRIBUTION,
        "owner": f"user {index}",
        "shares": index,
        "amount_minor": sums[index],
        "salt": leaf_salt(SALT, index),
        "index": index,
        "parts": len(sums),
        "path": [{"hash": node.hash.hex(), "sum_minor": node.sum_minor} for node in path],
        "root": root_of(leaves).hash.hex(),
        "total_minor": sum(sums),
    }
    check_statement.check(statement)
    changes: list[dict[str, object]] = [
        {"total_minor": sum(sums) + 1},
        {"owner": "another"},
        {"parts": 4 * len(sums)},
        {"index": len(sums)},
        {"path": [*statement["path"], {"hash": "00" * 32, "sum_minor": 0}]},  # type: ignore[misc]
        {"root": "00" * 32},
    ]
    for change in changes:
        with pytest.raises(check_statement.Wrong):
            check_statement.check({**statement, **change})
    for bad in ({"amount_minor": -1}, {"salt": ""}, {"shares": True}):
        with pytest.raises(ValueError):
            check_statement.check({**statement, **bad})


@given(amounts, st.data())
def test_no_other_part_does(sums: list[int], data: st.DataObject) -> None:
    leaves = leaves_of(sums)
    index = data.draw(st.integers(0, len(sums) - 1))
    part = Part(f"user {index}", index, sums[index], leaf_salt(SALT, index))
    path, root = path_to(leaves, index), root_of(leaves)
    for wrong in (
        Part(part.owner, part.shares, part.amount_minor + 1, part.salt),
        Part(part.owner, part.shares + 1, part.amount_minor, part.salt),
        Part("another", part.shares, part.amount_minor, part.salt),
        Part(part.owner, part.shares, part.amount_minor, leaf_salt(SALT, index + 1)),
    ):
        assert climb(leaf(DISTRIBUTION, wrong), index, len(sums), path) != root
    if path:
        step = data.draw(st.integers(0, len(path) - 1))
        moved = [*path]
        moved[step] = Node(path[step].hash, path[step].sum_minor + 1)
        assert climb(leaves[index], index, len(sums), moved) != root
        assert climb(leaves[index], index, len(sums), path[:-1]) is None
    assert climb(leaves[index], index, len(sums), [*path, root]) is None
    assert climb(leaves[index], len(sums), len(sums), path) is None


def test_a_sum_cannot_be_moved_between_neighbours() -> None:
    """The hash covers both sums apart: with the total alone, 3 + 5 could be shown as 8 + 0."""
    [a, b] = leaves_of([3, 5])
    assert join(a, b) != join(Node(a.hash, 8), Node(b.hash, 0))
    assert join(a, b).hash != join(Node(a.hash, 8), Node(b.hash, 0)).hash


def test_nothing_negative_can_be_hashed() -> None:
    [a, b] = leaves_of([3, 5])
    with pytest.raises(OverflowError):
        join(Node(a.hash, -1), b)
