"""Sums of multiples of points of G1 that are known in advance, from tables.

A table holds d 2^(bits w) P for each window w of a 256-bit scalar and each digit d > 0, affine; a
multiple is then one addition a window and no doubling (Brickell et al., EUROCRYPT 1992).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from kernels.bn254.llvm import load, noinline, stack
from kernels.bn254.parameters import ONE
from kernels.bn254.scalar import (
    E1,
    E2,
    fp_copy,
    fp_mul,
    fp_sqr,
    kernel,
    table_address,
)
from kernels.bn254.scalar_values import LIMBS
from kernels.bn254.tower.fp2 import fp_inv
from kernels.bn254.tower.g1 import AFFINE, JACOBIAN, g1_add_affine, g1_double
from kernels.bn254.words import INTEGER, is_equal, is_zero

SCALAR_BITS = 256


@kernel
def g1_from_affine(d: int, q: int) -> None:
    """d = q with Z = 1."""
    fp_copy(d, q)
    fp_copy(d + E1, q + E1)
    fp_copy(d + 2 * E1, table_address() + ONE * E2)


@kernel
def g1_to_affine(d: int, t: int, z_inverse: int) -> None:
    """d = t as (x, y); z_inverse: 1 / Z."""
    s = stack(E1)
    fp_sqr(s, z_inverse)
    fp_mul(d, t, s)
    fp_mul(s, s, z_inverse)
    fp_mul(d + E1, t + E1, s)


@kernel
def g1_accumulate(t: int, q: int) -> None:
    """t = t + q for affine q, complete: Z = 0 is infinity, doubling and cancellation are found."""
    s = stack(JACOBIAN)
    u, v = stack(E1), stack(E1)
    if is_zero(t + 2 * E1, LIMBS):
        g1_from_affine(t, q)
        return
    g1_add_affine(s, t, q)
    if is_zero(s + 2 * E1, LIMBS):
        # The same x: either the same point or its negative, which leaves Z = 0.
        fp_sqr(u, t + 2 * E1)
        fp_mul(u, u, t + 2 * E1)
        fp_mul(v, q + E1, u)
        if is_equal(v, t + E1, LIMBS):
            g1_double(t)
            return
    for i in range(3):
        fp_copy(t + i * E1, s + i * E1)


@kernel
def fixed_base_table(table: int, point: int, bits: int, work: int) -> None:
    """Fill the table of one affine point of order r: 256 / bits windows of 2^bits - 1 affine
    points.

    work: (JACOBIAN + E1) bytes a digit. Digits are made by additions and divided by their Z
    together (Montgomery's trick), one inversion a window.
    """
    noinline()
    base, inverse, z = stack(AFFINE), stack(E1), stack(E1)
    digits = (1 << bits) - 1
    products = work + digits * JACOBIAN
    fp_copy(base, point)
    fp_copy(base + E1, point + E1)
    for window in range(SCALAR_BITS // bits):
        _multiples(work, products, base, digits)
        row = table + window * digits * AFFINE
        fp_inv(inverse, products + (digits - 1) * E1)
        for i in range(digits - 1, -1, -1):
            multiple = work + i * JACOBIAN
            if i > 0:
                fp_mul(z, inverse, products + (i - 1) * E1)
                fp_mul(inverse, inverse, multiple + 2 * E1)
            else:
                fp_copy(z, inverse)
            g1_to_affine(row + i * AFFINE, multiple, z)
        # The next window's base is one more than the largest digit.
        multiple = work + (digits - 1) * JACOBIAN
        g1_add_affine(multiple, multiple, base)
        fp_inv(z, multiple + 2 * E1)
        g1_to_affine(base, multiple, z)


@kernel
def _multiples(work: int, products: int, base: int, digits: int) -> None:
    """1, 2 .. digits times base, Jacobian, and the running products of their Z."""
    g1_from_affine(work, base)
    fp_copy(products, work + 2 * E1)
    for i in range(1, digits):
        here = work + i * JACOBIAN
        if i == 1:
            g1_from_affine(here, base)
            g1_double(here)
        else:
            g1_add_affine(here, here - JACOBIAN, base)
        fp_mul(products + i * E1, products + (i - 1) * E1, here + 2 * E1)


@kernel
def fixed_base_sum(t: int, tables: int, scalars: int, count: int, bits: int) -> None:
    """t = t + the sum of scalars[j] times the point of table j, complete; 256-bit scalars,
    little-endian."""
    noinline()
    digits = (1 << bits) - 1
    in_word = 64 // bits
    for j in range(count):
        for window in range(SCALAR_BITS // bits):
            word = load(scalars + j * INTEGER + window // in_word * 8)
            digit: Any = np.int64(word >> np.uint64(window % in_word * bits)) & digits
            if digit != 0:
                row = tables + (j * (SCALAR_BITS // bits) + window) * digits * AFFINE
                g1_accumulate(t, row + (digit - 1) * AFFINE)
