"""Identities: what a user commits to, so that a listen can later be claimed without naming it.

The commitment is Poseidon(secret). The secret never reaches the engine, so all that can be checked
here is that the number is an element of the field that the proofs are about.
"""

from __future__ import annotations

from domain.field import element
from messages.users import BadCommitment


def check_commitment(text: str) -> str:
    """The commitment as it was given, which has one form only. Raises BadCommitment."""
    if not element(text):
        raise BadCommitment
    return text
