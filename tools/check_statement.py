#!/usr/bin/env python3
"""Check a statement of a distribution without the platform: python tools/check_statement.py FILE.

FILE (or standard input) is the JSON of GET /api/v1/issues/{id}/distributions/{id}/statement. This
file needs nothing but Python and may be copied anywhere. It proves that the part is one of `parts`
leaves of a Merkle-sum tree with this root, whose sums add up to `total_minor`. Compare root, parts
and total with the distribution as it was published: everybody must have been shown the same.
"""

from __future__ import annotations

import hashlib
import json
import sys
import uuid
from typing import Any

FORMAT = "vibestream-statement-1"
MAX_DEPTH = 32


class Wrong(Exception):  # noqa: N818 - it says what
    """The statement does not hold."""


def check(statement: dict[str, Any]) -> None:
    """Raises Wrong if the statement does not hold; KeyError, ValueError, … if it is none."""
    if statement["format"] != FORMAT:
        raise Wrong("the format is another one")
    digest, total = climb(statement)
    if digest != bytes.fromhex(statement["root"]):
        raise Wrong("the path leads to another root")
    if total != whole(statement["total_minor"]):
        raise Wrong("the parts do not make the whole")


def climb(statement: dict[str, Any]) -> tuple[bytes, int]:
    """The hash and the sum that the leaf's path leads to. Raises Wrong."""
    index, last = whole(statement["index"]), whole(statement["parts"]) - 1
    if index > last or len(statement["path"]) > MAX_DEPTH:
        raise Wrong("the tree has no such leaf")
    here, steps = (leaf(statement), whole(statement["amount_minor"])), list(statement["path"])
    while last > 0:
        if index % 2 == 1 or index < last:
            if not steps:
                raise Wrong("the path is too short")
            step = steps.pop(0)
            other = (bytes.fromhex(step["hash"]), whole(step["sum_minor"]))
            if len(other[0]) != hashlib.sha256().digest_size:
                raise Wrong("a hash has another length")
            left, right = (other, here) if index % 2 else (here, other)
            here = (node(left, right), left[1] + right[1])
        index, last = index // 2, last // 2
    if steps:
        raise Wrong("the path is too long")
    return here


def leaf(statement: dict[str, Any]) -> bytes:
    """SHA-256 of 00, distribution (16), salt (16), amount (16), shares (8), owner."""
    salt = bytes.fromhex(statement["salt"])
    if len(salt) != 16:
        raise ValueError("the salt has 16 bytes")
    body = b"\x00" + uuid.UUID(statement["distribution_id"]).bytes + salt
    body += whole(statement["amount_minor"]).to_bytes(16, "big")
    body += whole(statement["shares"]).to_bytes(8, "big")
    return hashlib.sha256(body + statement["owner"].encode()).digest()


def node(left: tuple[bytes, int], right: tuple[bytes, int]) -> bytes:
    """SHA-256 of 01, sum (16) and hash of the left, sum (16) and hash of the right."""
    body = b"\x01" + left[1].to_bytes(16, "big") + left[0]
    return hashlib.sha256(body + right[1].to_bytes(16, "big") + right[0]).digest()


def whole(value: Any) -> int:
    """A whole number that is not negative."""
    if type(value) is not int or value < 0:
        raise ValueError(f"not a whole number: {value!r}")
    return value


def main(arguments: list[str]) -> int:
    """0 if the statement holds, 1 if it does not, 2 if it is none."""
    try:
        if arguments:
            with open(arguments[0], encoding="utf-8") as file:  # noqa: PTH123 - the least of Python
                statement = json.load(file)
        else:
            statement = json.load(sys.stdin)
        check(statement)
    except Wrong as wrong:
        sys.stdout.write(f"WRONG: {wrong}\n")
        return 1
    except (OSError, ValueError, KeyError, TypeError, AttributeError, OverflowError) as error:
        sys.stderr.write(f"not a statement: {error!r}\n")
        return 2
    amount, total, currency = (statement[k] for k in ("amount_minor", "total_minor", "currency"))
    sys.stdout.write(
        f"holds: {amount} of {total} minor units of {currency}, leaf {statement['index']} of "
        f"{statement['parts']}, root {statement['root']}\n"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
