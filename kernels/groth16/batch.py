"""Many proofs under one key: their equations, weighted and multiplied, are one equation.

    prod e(r_i A_i, B_i) = e(s alpha, beta) e(sum r_i L_i, gamma) e(sum r_i C_i, delta), s = sum r_i

Proofs are screened one by one (range, infinity, curve), each B's subgroup is seen at the end of its
own Miller loop. The tables and lines of a key serve the right side, whatever the number of proofs.
Kernels here work on one proof at a time; `lanes` has those that work on eight.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

from kernels.bn254.fixed_base import SCALAR_BITS, fixed_base_sum, g1_accumulate, g1_to_affine
from kernels.bn254.llvm import noinline, stack, store
from kernels.bn254.scalar import E1, E2, fp_copy, fp_mul, integer_accumulate, kernel
from kernels.bn254.tower.final import final_exponentiation
from kernels.bn254.tower.fp2 import fp_inv
from kernels.bn254.tower.fp12 import E12, f12_mul, f12_one
from kernels.bn254.tower.g1 import AFFINE, JACOBIAN, g1_double
from kernels.bn254.tower.miller import FIXED_POINT, PAIR, miller
from kernels.bn254.words import INTEGER, below_r, clear, is_one
from kernels.groth16.key import LINES
from kernels.groth16.single import (
    INPUT,
    OUTSIDE_SUBGROUP,
    PROOF,
    VALID,
    enter_proof,
    in_subgroup,
    negated_points,
    screen,
)
from kernels.groth16.weights import (
    DIGITS,
    IMAGES,
    PLANES,
    TOTAL,
    WEIGHT,
    digit,
    digit_planes,
    images,
    weighted,
)

Places = npt.NDArray[np.int64]

# What is kept of a proof: its weighted A and its B, a record's beginning.
KEPT: Final = 2 * E1 + 2 * E2
PLANES_BYTES: Final = 8 * PLANES
WORK: Final = JACOBIAN + E1
# Records at a time: they share the squarings of one Miller loop and stay in the first cache.
CHUNK: Final = 16
CHUNK_BYTES = CHUNK * PAIR
THREE_JACOBIANS = 3 * JACOBIAN
THREE_FIXED_POINTS = 3 * FIXED_POINT
THREE_ELEMENTS = 3 * E1


@kernel
def planes_batch(planes: int, weights: int, count: int) -> None:
    """The digits of each weight."""
    for i in range(count):
        digit_planes(planes + i * PLANES_BYTES, weights + i * WEIGHT)


@kernel
def screen_batch(
    codes: Places, kept: int, points_c: int, proofs: int, inputs: int, count: int
) -> None:
    """Check each proof as far as its own numbers go, and bring A, B and C into the field.

    codes: a place in VERDICTS each. kept: KEPT bytes a proof; points_c: C's three images.
    """
    noinline()
    pair, c = stack(PAIR), stack(AFFINE)
    for i in range(len(codes)):
        proof = proofs + i * PROOF
        codes[i] = INPUT
        if below_r(inputs + i * count * INTEGER, count):
            codes[i] = screen(proof)
        if codes[i] == VALID:
            codes[i] = enter_proof(pair, c, proof)
        if codes[i] == VALID:
            for j in range(6):
                fp_copy(kept + i * KEPT + j * E1, pair + j * E1)
            images(points_c + i * IMAGES, c)


@kernel
def weight_batch(chosen: Places, kept: int, planes: int, work: int) -> None:
    """A_i = r_i A_i for the chosen proofs, affine again by one inversion.

    work: WORK bytes a proof.
    """
    noinline()
    three, inverse, z = stack(IMAGES), stack(E1), stack(E1)
    products = work + len(chosen) * JACOBIAN
    for i in range(len(chosen)):
        t = work + i * JACOBIAN
        images(three, kept + chosen[i] * KEPT)
        weighted(t, three, planes + chosen[i] * PLANES_BYTES)
        if i == 0:
            fp_copy(products, t + 2 * E1)
        else:
            fp_mul(products + i * E1, products + (i - 1) * E1, t + 2 * E1)
    fp_inv(inverse, products + (len(chosen) - 1) * E1)
    for i in range(len(chosen) - 1, -1, -1):
        t = work + i * JACOBIAN
        fp_copy(z, inverse)
        if i > 0:
            fp_mul(z, inverse, products + (i - 1) * E1)
            fp_mul(inverse, inverse, t + 2 * E1)
        g1_to_affine(kept + chosen[i] * KEPT, t, z)


@kernel
def sum_inputs(totals: int, chosen: Places, inputs: int, count: int, planes: int) -> None:
    """For each input, then for the number 1: three integers, its sum weighted by each plane.

    totals: PLANES * TOTAL bytes an input and one more, zero before.
    """
    noinline()
    one = stack(INTEGER)
    clear(one, INTEGER // 8)
    store(one, np.uint64(1))
    for i in range(len(chosen)):
        plane = planes + chosen[i] * PLANES_BYTES
        row = inputs + chosen[i] * count * INTEGER
        for j in range(count + 1):
            number = row + j * INTEGER if j < count else one
            for k in range(PLANES):
                integer_accumulate(totals + (j * PLANES + k) * TOTAL, number, plane + 8 * k)


@kernel
def sum_points(t: int, chosen: Places, points: int, planes: int) -> None:
    """t = sum r_i C_i over the chosen proofs: all share the doublings (Straus), additions
    complete."""
    noinline()
    clear(t, JACOBIAN // 8)
    for k in range(DIGITS - 1, -1, -1):
        g1_double(t)
        for i in range(len(chosen)):
            which = digit(planes + chosen[i] * PLANES_BYTES, k)
            if which != 0:
                g1_accumulate(t, points + chosen[i] * IMAGES + (which - 1) * AFFINE)


@kernel
def multiply_moving(f: int, chosen: Places, kept: int, codes: Places) -> bool:
    """f = the product of the chosen proofs' Miller loops; False, and codes, for a B outside the
    subgroup."""
    noinline()
    pairs, part = stack(CHUNK_BYTES), stack(E12)
    inside = True
    f12_one(f)
    for start in range(0, len(chosen), CHUNK):
        size = min(CHUNK, len(chosen) - start)
        for i in range(size):
            for j in range(6):
                fp_copy(pairs + i * PAIR + j * E1, kept + chosen[start + i] * KEPT + j * E1)
        miller(part, pairs, size, 0, 0, 0)
        f12_mul(f, f, part)
        for i in range(size):
            if not in_subgroup(pairs + i * PAIR):
                codes[chosen[start + i]] = OUTSIDE_SUBGROUP
                inside = False
    return inside


@kernel
def equation_holds(
    f: int, total_c: int, scalars: int, inputs: int, block: int, tables: int, bits: int
) -> bool:
    """Whether f times the key's side is 1.

    scalars: of ic[1] .., ic[0], alpha, as the tables are.
    """
    noinline()
    jacobian, points = stack(THREE_JACOBIANS), stack(THREE_FIXED_POINTS)
    work = stack(THREE_ELEMENTS)
    part = stack(E12)
    size = SCALAR_BITS // bits * ((1 << bits) - 1) * AFFINE
    total, alpha = jacobian + JACOBIAN, jacobian + 2 * JACOBIAN
    for i in range(3):
        fp_copy(jacobian + i * E1, total_c + i * E1)
    clear(total, 2 * JACOBIAN // 8)
    fixed_base_sum(total, tables, scalars, inputs + 1, bits)
    fixed_base_sum(alpha, tables + (inputs + 1) * size, scalars + (inputs + 1) * INTEGER, 1, bits)
    negated_points(points, jacobian, 3, work)
    miller(part, 0, 0, block + LINES, points, 3)
    f12_mul(f, f, part)
    final_exponentiation(f, f)
    return is_one(f)
