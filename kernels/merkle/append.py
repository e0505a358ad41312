"""Appending to an incremental tree, compiled."""

from __future__ import annotations

import numpy as np

from kernels.compile import njit
from kernels.poseidon.constants import Parameters, parameters
from kernels.poseidon.field import LIMBS, Limbs
from kernels.poseidon.permutation import hash_row, make_scratch

PAIR_WIDTH = 3


@njit()
def _copy(target: Limbs, source: Limbs) -> None:
    for limb in range(LIMBS):
        target[limb] = source[limb]


@njit()
def _grow(nodes: Limbs, size: int, frontier: Limbs, scratch: Limbs, parameters: Parameters) -> None:
    """Merge nodes[1:], leaves that follow the first `size`, into the frontier.

    nodes[0] is room for the left sibling of the first. Level by level the nodes are paired in
    place: pair p is read at or after where its parent goes. Each leaf is in one merge on average.
    """
    end = nodes.shape[0]
    depth = frontier.shape[0] - 1
    for level in range(depth):
        begin = 1
        if size >> level & 1:
            begin = 0
            _copy(nodes[0], frontier[level])
        pairs = (end - begin) // 2
        if (end - begin) % 2:
            _copy(frontier[level], nodes[end - 1])
        for pair in range(pairs):
            left = begin + 2 * pair
            hash_row(nodes[1 + pair], nodes[left : left + 2], scratch, parameters)
        end = 1 + pairs
    if end > 1:
        _copy(frontier[depth], nodes[1])


@njit()
def _top(
    pair: Limbs, size: int, frontier: Limbs, zeros: Limbs, scratch: Limbs, parameters: Parameters
) -> None:
    """Leave the root of a tree that is not full in pair[0], and zero what is not of the frontier.

    pair: (2, 4). Below the lowest complete subtree everything is empty: `zeros` has its roots.
    """
    node = pair[0]
    _copy(node, zeros[0])
    is_empty = True
    for level in range(zeros.shape[0]):
        if size >> level & 1:
            _copy(pair[1], node)
            _copy(pair[0], frontier[level])
            is_empty = False
        else:
            frontier[level] = 0
            _copy(pair[1], zeros[level])
        if not is_empty:
            hash_row(node, pair, scratch, parameters)
        elif level + 1 < zeros.shape[0]:
            _copy(node, zeros[level + 1])


def append_leaves(leaves: Limbs, size: int, frontier: Limbs, zeros: Limbs) -> Limbs:
    """The (4,) root once (n, 4) leaves follow the first `size`; `frontier` is brought up to date.

    frontier: (depth + 1, 4), zeros: (depth, 4) roots of empty subtrees of depth 0 and up. There
    must be room for the leaves, and at least one. At most n + depth hashes.
    """
    depth, grown = len(zeros), size + len(leaves)
    assert 0 < len(leaves) <= (1 << depth) - size, "no leaves, or no room for them"
    poseidon = parameters(PAIR_WIDTH)
    scratch = make_scratch(poseidon)
    nodes = np.concatenate([np.zeros((1, LIMBS), np.uint64), leaves])
    _grow(nodes, size, frontier, scratch, poseidon)
    if grown >> depth:
        frontier[:depth] = 0
        nodes[0] = frontier[depth]
    else:
        _top(nodes[:2], grown, frontier, zeros, scratch, poseidon)
    top: Limbs = nodes[0]
    return top
