"""Statements of a distribution: a Merkle-sum tree over its parts, whose root sums to the whole.

The root is published with the distribution. Who got a part can show, with a path of some fifteen
hashes and sums, that it is one of parts that add up to exactly what was distributed, and learns of
the others only sums. `tools/check_statement.py` checks it without the platform.

Shape: RFC 6962 (an odd node at the end of a level rises as it is). A node's hash covers the sum of
either child apart, as Chalkias, Chatzigiannis and Ji ask for ("Broken Proofs of Solvency in
Blockchain Custodial Wallets and Exchanges", 2022, section 3): a hash of the total alone could be
opened to smaller parts. All numbers are unsigned and of fixed width, so that none can be negative.
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from hashlib import sha256
from typing import NamedTuple

import msgspec

SALT_BYTES = 16
AMOUNT_BYTES = 16
SHARES_BYTES = 8
_LEAF, _NODE = b"\x00", b"\x01"


class Part(msgspec.Struct, frozen=True, array_like=True):
    """What one owner (a user id, or the platform) got. `salt`: 16 bytes in hex, of this leaf."""

    owner: str
    shares: int
    amount_minor: int
    salt: str


class Node(NamedTuple):
    """A node of the tree: its hash, and the sum of the parts below it."""

    hash: bytes
    sum_minor: int


def leaf_salt(salt: str, index: int) -> str:
    """The salt of a leaf, from the secret one of the distribution."""
    return sha256(bytes.fromhex(salt) + index.to_bytes(4, "big")).hexdigest()[: 2 * SALT_BYTES]


def leaf(distribution_id: str, part: Part) -> Node:
    """The leaf of a part: `00 distribution(16) salt(16) amount(16) shares(8) owner`, hashed."""
    body = (
        _LEAF
        + uuid.UUID(distribution_id).bytes
        + bytes.fromhex(part.salt)
        + part.amount_minor.to_bytes(AMOUNT_BYTES, "big")
        + part.shares.to_bytes(SHARES_BYTES, "big")
        + part.owner.encode()
    )
    return Node(sha256(body).digest(), part.amount_minor)


def join(left: Node, right: Node) -> Node:
    """The node above two: `01 sum(16) hash(32) sum(16) hash(32)`, hashed."""
    body = (
        _NODE
        + left.sum_minor.to_bytes(AMOUNT_BYTES, "big")
        + left.hash
        + right.sum_minor.to_bytes(AMOUNT_BYTES, "big")
        + right.hash
    )
    return Node(sha256(body).digest(), left.sum_minor + right.sum_minor)


def root_of(leaves: Sequence[Node]) -> Node:
    """The root over at least one leaf."""
    assert leaves, "a distribution has parts"
    level = list(leaves)
    while len(level) > 1:
        level = _above(level)
    return level[0]


def path_to(leaves: Sequence[Node], index: int) -> list[Node]:
    """The siblings on the way from a leaf to the root. Where a node rises alone there is none."""
    level, path = list(leaves), []
    while len(level) > 1:
        if index ^ 1 < len(level):
            path.append(level[index ^ 1])
        level, index = _above(level), index // 2
    return path


def climb(node: Node, index: int, count: int, path: Sequence[Node]) -> Node | None:
    """The root that a leaf's path leads to; None where the path does not fit the tree's shape."""
    if not 0 <= index < count:
        return None
    rest, last = list(path), count - 1
    while last > 0:
        if index % 2 or index < last:
            if not rest:
                return None
            sibling = rest.pop(0)
            node = join(sibling, node) if index % 2 else join(node, sibling)
        index, last = index // 2, last // 2
    return None if rest else node


def _above(level: Sequence[Node]) -> list[Node]:
    pairs = [join(level[i], level[i + 1]) for i in range(0, len(level) - 1, 2)]
    return pairs + list(level[len(level) & ~1 :])
