"""Identities: what a user commits to, so that a listen can later be claimed without naming it.

The commitment is Poseidon(secret). The secret never reaches the engine, so all that can be checked
here is that the number is an element of the field that the proofs are about.
"""

from __future__ import annotations

import re

from messages.users import BadCommitment

# The order of BN254's groups, and so of the field that signals of a proof lie in (EIP-197).
SCALAR_ORDER = 21888242871839275222246405745257275088548364400416034343698204186575808495617
MAX_DIGITS = 77
_DECIMAL = re.compile(r"[1-9][0-9]{0,76}", re.ASCII)


def check_commitment(text: str) -> str:
    """The commitment as it was given, which has one form only. Raises BadCommitment."""
    if not _DECIMAL.fullmatch(text) or int(text) >= SCALAR_ORDER:
        raise BadCommitment
    return text
