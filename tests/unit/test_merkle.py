"""The incremental tree against one that is built whole, node by node."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kernels import merkle
from kernels.poseidon import ORDER, hash_fields
from tests.unit.poseidon_naive import poseidon as naive_poseidon

LEAVES = st.lists(st.integers(0, ORDER - 1), max_size=20)


@cache
def naive_hash(left: int, right: int) -> int:
    return naive_poseidon([left, right])


def naive_root(leaves: Sequence[int], depth: int) -> int:
    """The root of all 2^depth leaves, those that are not there being 0."""
    nodes = [*leaves, *[0] * (2**depth - len(leaves))]
    while len(nodes) > 1:
        nodes = [naive_hash(*nodes[at : at + 2]) for at in range(0, len(nodes), 2)]
    return nodes[0]


def naive_path(leaves: Sequence[int], index: int, depth: int) -> tuple[int, ...]:
    siblings = []
    for level in range(depth):
        first = ((index >> level) ^ 1) << level
        siblings.append(naive_root(leaves[first : first + 2**level], level))
    return tuple(siblings)


@pytest.mark.parametrize("depth", [1, 2, 3, 4])
def test_every_size_has_the_root_and_the_paths_of_the_whole_tree(depth: int) -> None:
    leaves = [10 + n for n in range(2**depth)]
    tree = merkle.empty(depth)
    assert tree.root == naive_root([], depth)
    for size in range(1, 2**depth + 1):
        tree = merkle.append_many(tree, leaves[size - 1 : size])
        assert tree.size == size
        assert tree.root == naive_root(leaves[:size], depth) == merkle.root(leaves[:size], depth)
        for index in range(size):
            siblings = merkle.path(leaves[:size], index, depth)
            assert siblings == naive_path(leaves[:size], index, depth)
            assert merkle.climb(leaves[index], index, siblings) == tree.root


@settings(max_examples=40)
@given(st.lists(LEAVES, max_size=5), st.integers(7, merkle.MAX_DEPTH))
def test_batches_do_not_matter(batches: list[list[int]], depth: int) -> None:
    tree = merkle.empty(depth)
    for batch in batches:
        tree = merkle.append_many(tree, batch)
    together = [leaf for batch in batches for leaf in batch]
    assert tree == merkle.append_many(merkle.empty(depth), together)


@settings(max_examples=20)
@given(LEAVES.filter(bool), st.data())
def test_paths_lead_to_the_root_and_other_leaves_do_not(
    leaves: list[int], data: st.DataObject
) -> None:
    depth = data.draw(st.integers(5, 20))
    index = data.draw(st.integers(0, len(leaves) - 1))
    root = merkle.root(leaves, depth)
    siblings = merkle.path_in(merkle.levels(leaves, depth), index, depth)
    assert len(siblings) == depth
    assert merkle.climb(leaves[index], index, siblings) == root
    assert merkle.climb((leaves[index] + 1) % ORDER, index, siblings) != root
    wrong = list(siblings)
    wrong[data.draw(st.integers(0, depth - 1))] += 1
    assert merkle.climb(leaves[index], index, [value % ORDER for value in wrong]) != root


def test_the_empty_tree_of_depth_20() -> None:
    zero = 0
    for _ in range(20):
        zero = naive_hash(zero, zero)
    assert merkle.empty(20).root == zero
    assert hash_fields([0, 0]) == merkle.empty(1).root


def test_the_frontier_holds_the_complete_subtrees_of_the_size() -> None:
    leaves = [3, 1, 4, 1, 5, 9, 2]
    tree = merkle.append_many(merkle.empty(3), leaves)
    assert tree.frontier == (2, naive_root([5, 9], 1), naive_root([3, 1, 4, 1], 2), 0)
    assert tree.room == 1
    full = merkle.append_many(tree, [6])
    assert full.frontier == (0, 0, 0, full.root)
    assert full.room == 0


def full_tree() -> merkle.Tree:
    return merkle.append_many(merkle.empty(1), [1, 2])


REFUSED: list[tuple[Callable[[], object], str]] = [
    (lambda: merkle.empty(0), "a depth is 1 to 32"),
    (lambda: merkle.empty(33), "a depth is 1 to 32"),
    (lambda: merkle.append_many(full_tree(), [3]), "room for 0"),
    (lambda: merkle.append_many(merkle.empty(2), [1] * 5), "room for 4"),
    (lambda: merkle.append_many(merkle.empty(2), [ORDER]), "not a field element"),
    (lambda: merkle.append_many(merkle.empty(2), [-1]), "not a field element"),
    (lambda: merkle.root([0] * 3, 1), "room for 2"),
    (lambda: merkle.levels([0] * 3, 1), "room for 2"),
    (lambda: merkle.path([ORDER], 0, 2), "not a field element"),
    (lambda: merkle.climb(1, 0, [ORDER]), "not a field element"),
]


@pytest.mark.parametrize(("call", "why"), REFUSED)
def test_what_has_no_place_is_refused(call: Callable[[], object], why: str) -> None:
    with pytest.raises(ValueError, match=why):
        call()


@pytest.mark.parametrize("index", [-1, 2, 4])
def test_a_leaf_that_is_not_there_has_no_path(index: int) -> None:
    with pytest.raises(IndexError):
        merkle.path([1, 2], index, 2)


def test_nothing_appended_is_the_same_tree() -> None:
    tree = full_tree()
    assert merkle.append_many(tree, []) is tree
