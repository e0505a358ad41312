"""The field that proofs are about, as far as it is needed to read a number."""

from __future__ import annotations

import re

# The order of BN254's groups, and so of the field that signals of a proof lie in (EIP-197).
SCALAR_ORDER = 21888242871839275222246405745257275088548364400416034343698204186575808495617
MAX_DIGITS = 77
_DECIMAL = re.compile(r"0|[1-9][0-9]{0,76}", re.ASCII)


def element(text: str) -> int | None:
    """The element that a decimal text stands for, in its one form; None for any other text."""
    if not _DECIMAL.fullmatch(text):
        return None
    value = int(text)
    return value if value < SCALAR_ORDER else None
