"""The tree of an epoch's leaves, as the pool's owner keeps it: what appending needs, no leaves."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

import msgspec

from domain.field import element

if TYPE_CHECKING:
    from kernels.merkle import Tree as MerkleTree

DEPTH = 20
CAPACITY = 2**DEPTH
RECENT = 256  # growths that are remembered, so that a decision and its evolution hash once


class Tree(msgspec.Struct, frozen=True):
    """An append-only Merkle tree of depth DEPTH. Numbers are decimal texts.

    frontier: the nodes that wait for their right sibling. It and the root are empty for the tree
    without leaves, so that nothing is hashed before there are some.
    """

    size: int = 0
    frontier: tuple[str, ...] = ()
    root: str = ""


def is_leaf(text: str) -> bool:
    """Whether a text is an element of the field, in its one decimal form."""
    return element(text) is not None


@lru_cache(maxsize=RECENT)
def append(tree: Tree, leaves: tuple[str, ...]) -> Tree:
    """The tree with leaves after its own. Raises ValueError beyond CAPACITY."""
    if not leaves:
        return tree
    # Imported when used: most processes know the rules and hash nothing.
    from kernels import merkle

    grown = merkle.append_many(_kernels(tree), [int(leaf) for leaf in leaves])
    nodes = tuple(str(node) for node in grown.frontier)
    return Tree(grown.size, nodes, str(grown.root))


def _kernels(tree: Tree) -> MerkleTree:
    from kernels import merkle

    if not tree.size:
        return merkle.empty(DEPTH)
    frontier = tuple(int(node) for node in tree.frontier)
    return merkle.Tree(DEPTH, tree.size, frontier, int(tree.root))
