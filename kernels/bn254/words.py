"""Integers and elements as words in memory, one at a time: compare, test, bring into the field."""

from __future__ import annotations

import numpy as np

from kernels.bn254.integers import P, R
from kernels.bn254.llvm import load, noinline, stack, store
from kernels.bn254.parameters import ENTER
from kernels.bn254.scalar import E1, E2, fp_mul, kernel, table_address
from kernels.bn254.scalar_values import LIMBS
from kernels.bn254.tower.fp12 import E12, f12_one

INTEGER = 32

P_WORDS = np.array([P >> 64 * i & (1 << 64) - 1 for i in range(LIMBS)], np.uint64)
R_WORDS = np.array([R >> 64 * i & (1 << 64) - 1 for i in range(LIMBS)], np.uint64)


@kernel
def is_zero(a: int, words: int) -> bool:
    """Whether all words are zero."""
    union = np.uint64(0)
    for i in range(words):
        union |= load(a + 8 * i)
    return bool(union == 0)


@kernel
def is_equal(a: int, b: int, words: int) -> bool:
    """Whether all words are the same."""
    union = np.uint64(0)
    for i in range(words):
        union |= load(a + 8 * i) ^ load(b + 8 * i)
    return bool(union == 0)


@kernel
def clear(a: int, words: int) -> None:
    """Set words to zero."""
    for i in range(words):
        store(a + 8 * i, np.uint64(0))


@kernel
def is_one(a: int) -> bool:
    """Whether an element of Fp12 is 1."""
    one = stack(E12)
    f12_one(one)
    return is_equal(a, one, E12 // 8)


@kernel
def _less(a: int, bound: np.ndarray) -> bool:
    for i in range(3, -1, -1):
        word = load(a + 8 * i)
        if word != bound[i]:
            return bool(word < bound[i])
    return False


@kernel
def below_p(integers: int, count: int) -> bool:
    """Whether each of the 256-bit integers, little-endian, is below the field's order."""
    noinline()
    below = True
    for i in range(count):
        below = below and _less(integers + i * INTEGER, P_WORDS)
    return below


@kernel
def below_r(integers: int, count: int) -> bool:
    """Whether each of the 256-bit integers, little-endian, is below the order of the groups."""
    noinline()
    below = True
    for i in range(count):
        below = below and _less(integers + i * INTEGER, R_WORDS)
    return below


@kernel
def subtract_p(a: int) -> None:
    """Four words below 2p, little-endian: below p."""
    if _less(a, P_WORDS):
        return
    borrow = np.uint64(0)
    for i in range(LIMBS):
        word = load(a + 8 * i)
        difference = word - P_WORDS[i]
        store(a + 8 * i, difference - borrow)
        below = word < P_WORDS[i] or (difference == 0 and borrow != 0)
        borrow = np.uint64(1) if below else np.uint64(0)


@kernel
def enter(d: int, integers: int, count: int) -> None:
    """d = the integers, each below p, as elements of Fp in a row."""
    for i in range(count):
        fp_mul(d + i * E1, integers + i * INTEGER, table_address() + ENTER * E2)
