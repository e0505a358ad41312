"""Poseidon over BN254's scalar field, equal to circomlib's: 1 to 16 inputs, one output."""

from __future__ import annotations

from collections.abc import Sequence

from kernels.poseidon.constants import MAX_WIDTH, parameters
from kernels.poseidon.field import LIMBS, ORDER, Limbs, from_limbs, to_limbs
from kernels.poseidon.permutation import hash_rows

__all__ = [
    "LIMBS",
    "MAX_INPUTS",
    "ORDER",
    "Limbs",
    "from_limbs",
    "hash_array",
    "hash_fields",
    "to_limbs",
]

MAX_INPUTS = MAX_WIDTH - 1


def hash_fields(values: Sequence[int]) -> int:
    """Poseidon of 1 to 16 field elements. Raises ValueError for another count or a non-element."""
    if not 1 <= len(values) <= MAX_INPUTS:
        raise ValueError(f"Poseidon takes 1 to {MAX_INPUTS} inputs, not {len(values)}")
    if not all(0 <= value < ORDER for value in values):
        raise ValueError("an input is not a field element")
    return from_limbs(hash_array(to_limbs(values).reshape(1, -1, LIMBS)))[0]


def hash_array(rows: Limbs) -> Limbs:
    """Poseidon of each row: (n, k, 4) plain little-endian limbs of k elements to (n, 4).

    The elements are canonical (below ORDER) and k is 1 to 16; the caller sees to both.
    """
    return hash_rows(rows, parameters(rows.shape[1] + 1))
