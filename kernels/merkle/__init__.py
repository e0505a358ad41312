"""Append-only Merkle trees: node = Poseidon(left, right), empty leaf 0, depth 1 to 32.

A `Tree` is what appending needs to know and no more: how many leaves there are, the root, and the
frontier (the nodes that wait for their right sibling). Paths come from the leaves themselves. The
incremental tree is that of Ethereum's deposit contract and of Tornado Cash, and circuits check its
paths with circomlib's Poseidon(2).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np

from kernels.merkle.append import append_leaves
from kernels.poseidon import LIMBS, ORDER, Limbs, from_limbs, hash_array, hash_fields, to_limbs

__all__ = [
    "MAX_DEPTH",
    "Tree",
    "append_many",
    "climb",
    "empty",
    "levels",
    "path",
    "path_in",
    "root",
]

MAX_DEPTH = 32
EMPTY_LEAF = 0


@dataclass(frozen=True, slots=True)
class Tree:
    """A tree's state.

    frontier[level], for levels 0 to depth: the root of the last complete subtree of 2^level leaves
    if bit `level` of size is set (it is a left sibling then, or the root of a full tree), else 0.
    """

    depth: int
    size: int
    frontier: tuple[int, ...]
    root: int

    @property
    def room(self) -> int:
        """How many leaves may still be appended."""
        return (1 << self.depth) - self.size


def empty(depth: int) -> Tree:
    """The tree without leaves."""
    if not 1 <= depth <= MAX_DEPTH:
        raise ValueError(f"a depth is 1 to {MAX_DEPTH}, not {depth}")
    return Tree(depth, 0, (0,) * (depth + 1), empty_roots()[depth])


def append_many(tree: Tree, leaves: Sequence[int]) -> Tree:
    """The tree with the leaves after its own; the same whether appended at once or one by one.

    n leaves take n + depth hashes at most. Raises ValueError for a leaf that is not a field
    element, or more leaves than there is room for.
    """
    if len(leaves) > tree.room:
        raise ValueError(f"{len(leaves)} leaves, and there is room for {tree.room}")
    if not leaves:
        return tree
    frontier = to_limbs(tree.frontier)
    zeros = to_limbs(empty_roots()[: tree.depth])
    top = append_leaves(_elements(leaves), tree.size, frontier, zeros)
    size = tree.size + len(leaves)
    return Tree(tree.depth, size, tuple(from_limbs(frontier)), from_limbs(top)[0])


def root(leaves: Sequence[int], depth: int) -> int:
    """The root of the tree of these leaves. Raises ValueError as `append_many` does."""
    return append_many(empty(depth), leaves).root


def path(leaves: Sequence[int], index: int, depth: int) -> tuple[int, ...]:
    """The siblings of a leaf and of the nodes above it, from the leaf up: depth of them.

    About as many hashes as leaves; for many paths of one tree make `levels` once. Raises ValueError
    as `append_many` does, and IndexError for a leaf that is not there.
    """
    return path_in(levels(leaves, depth), index, depth)


def levels(leaves: Sequence[int], depth: int) -> list[Limbs]:
    """The nodes of each level that have a leaf below them, from the leaves up, as (n, 4) limbs.

    The list ends where one node is left (or none). Raises ValueError as `append_many` does.
    """
    if len(leaves) > empty(depth).room:
        raise ValueError(f"{len(leaves)} leaves, and there is room for {1 << depth}")
    found = [_elements(leaves)]
    while len(nodes := found[-1]) > 1:
        if len(nodes) % 2:
            zero = empty_roots()[len(found) - 1]
            nodes = np.concatenate([nodes, to_limbs([zero])])
        found.append(hash_array(nodes.reshape(-1, 2, LIMBS)))
    return found


def path_in(nodes: Sequence[Limbs], index: int, depth: int) -> tuple[int, ...]:
    """The path of a leaf in the levels of its tree. Raises IndexError for one that is not there."""
    if not 0 <= index < len(nodes[0]):
        raise IndexError(f"there is no leaf {index}")
    siblings = list(empty_roots()[:depth])
    for level, row in enumerate(nodes[:depth]):
        sibling = (index >> level) ^ 1
        if sibling < len(row):
            siblings[level] = from_limbs(row[sibling])[0]
    return tuple(siblings)


def climb(leaf: int, index: int, siblings: Sequence[int]) -> int:
    """The root that a path leads to from a leaf: that of the tree if it is the leaf's path.

    Raises ValueError for a value that is not a field element.
    """
    node = leaf
    for level, sibling in enumerate(siblings):
        is_right = index >> level & 1
        node = hash_fields((sibling, node) if is_right else (node, sibling))
    return node


@cache
def empty_roots() -> tuple[int, ...]:
    """The roots of trees without leaves, of depth 0 to MAX_DEPTH."""
    roots = [EMPTY_LEAF]
    while len(roots) <= MAX_DEPTH:
        roots.append(hash_fields((roots[-1], roots[-1])))
    return tuple(roots)


def _elements(values: Sequence[int]) -> Limbs:
    if not all(0 <= value < ORDER for value in values):
        raise ValueError("a leaf is not a field element")
    return to_limbs(values)
