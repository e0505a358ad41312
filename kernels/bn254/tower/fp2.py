"""Inversion in Fp and Fp2."""

from __future__ import annotations

import numpy as np

from kernels.bn254.integers import P
from kernels.bn254.llvm import noinline, stack
from kernels.bn254.scalar import E1, fp_add, fp_copy, fp_mul, fp_neg, fp_sqr, kernel

WINDOW_BITS = 4
WINDOW = E1 << WINDOW_BITS

# The digits of p - 2 in base 16, highest first.
DIGITS = np.array([int(digit, 16) for digit in f"{P - 2:x}"], np.int64)


@kernel
def fp_inv(d: int, a: int) -> None:
    """d = 1 / a = a^(p-2), and 0 for 0. A window of four bits: 252 squarings, 78 products."""
    noinline()
    powers = stack(WINDOW)
    fp_copy(powers + E1, a)
    for i in range(2, 1 << WINDOW_BITS):
        fp_mul(powers + i * E1, powers + (i - 1) * E1, a)
    fp_copy(d, powers + DIGITS[0] * E1)
    for i in range(1, len(DIGITS)):
        for _ in range(WINDOW_BITS):
            fp_sqr(d, d)
        if DIGITS[i] != 0:
            fp_mul(d, d, powers + DIGITS[i] * E1)


@kernel
def f2_inv(d: int, a: int) -> None:
    """d = 1 / a = conj(a) / (a0^2 + a1^2)."""
    norm = stack(E1)
    imaginary = stack(E1)
    fp_sqr(norm, a)
    fp_sqr(imaginary, a + E1)
    fp_add(norm, norm, imaginary)
    fp_inv(norm, norm)
    fp_neg(imaginary, a + E1)
    fp_mul(d, a, norm)
    fp_mul(d + E1, imaginary, norm)
