"""The owner's tree has the root that hashing every level of all leaves gives."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from domain.field import SCALAR_ORDER
from domain.rewards import tree
from domain.rewards.tree import DEPTH, Tree
from kernels.poseidon import hash_fields


def naive_root(leaves: list[int]) -> int:
    """Level by level, the empty subtree beside what is there."""
    level, empty = leaves or [0], 0
    for _ in range(DEPTH):
        if len(level) % 2:
            level = [*level, empty]
        level = [hash_fields(level[i : i + 2]) for i in range(0, len(level), 2)]
        empty = hash_fields([empty, empty])
    return level[0]


@hypothesis_settings(max_examples=15)
@given(st.lists(st.lists(st.integers(0, SCALAR_ORDER - 1), max_size=4), max_size=6))
def test_the_root_is_the_naive_one(parts: list[list[int]]) -> None:
    grown = Tree()
    for part in parts:
        grown = tree.append(grown, tuple(str(leaf) for leaf in part))
        grown = msgspec.msgpack.decode(msgspec.msgpack.encode(grown), type=Tree)
    leaves = [leaf for part in parts for leaf in part]
    assert grown.size == len(leaves)
    assert grown.root == (str(naive_root(leaves)) if leaves else "")


@pytest.mark.parametrize("text", ["", "-1", "01", "1.0", " 1", "١", str(SCALAR_ORDER)])
def test_a_leaf_has_one_form(text: str) -> None:
    assert not tree.is_leaf(text)
    assert tree.is_leaf("0")
    assert tree.is_leaf(str(SCALAR_ORDER - 1))
