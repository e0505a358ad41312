"""One proof, every check: e(A, B) = e(alpha, beta) e(L, gamma) e(C, delta).

Written as one product (A, B)(-alpha, beta)(-L, gamma)(-C, delta) that must be 1: one moving pair,
two with known lines, one known value, one final exponentiation (the scheme "Groth16", EUROCRYPT
2016). L = ic[0] + sum of input[j] ic[j + 1].

A proof is eight integers of 256 bits, little-endian: A.x, A.y, B.x (real, imaginary), B.y, C.x,
C.y.
"""

from __future__ import annotations

from typing import Final

from kernels.bn254.fixed_base import fixed_base_sum, g1_from_affine
from kernels.bn254.llvm import noinline, stack
from kernels.bn254.parameters import ONE
from kernels.bn254.scalar import (
    E1,
    E2,
    fp_copy,
    fp_mul,
    fp_neg,
    kernel,
    table_address,
)
from kernels.bn254.scalar_values import LIMBS
from kernels.bn254.tower.final import final_exponentiation
from kernels.bn254.tower.fp2 import fp_inv
from kernels.bn254.tower.fp12 import E12, f12_mul
from kernels.bn254.tower.g1 import AFFINE, JACOBIAN
from kernels.bn254.tower.miller import (
    FIXED_POINT,
    MOVING_LINE,
    PAIR,
    Q,
    g1_residual,
    miller,
    subgroup_residual,
    twist_residual,
)
from kernels.bn254.words import INTEGER, below_p, below_r, enter, is_one, is_zero
from kernels.groth16.key import ALPHA_BETA, IC_0, LINES
from kernels.groth16.verdict import Verdict

PROOF: Final = 8 * INTEGER
TWO_FIXED_POINTS = 2 * FIXED_POINT
TWO_JACOBIANS = 2 * JACOBIAN

VALID, INPUT, COORDINATE, INFINITY, OFF_CURVE, OUTSIDE_SUBGROUP, PAIRING = range(7)
VERDICTS: Final = (
    Verdict.VALID,
    Verdict.INPUT_NOT_IN_FIELD,
    Verdict.COORDINATE_NOT_IN_FIELD,
    Verdict.POINT_AT_INFINITY,
    Verdict.POINT_OFF_CURVE,
    Verdict.POINT_OUTSIDE_SUBGROUP,
    Verdict.PAIRING_FAILED,
)


@kernel
def screen(proof: int) -> int:
    """What can be seen of the integers alone: (0, 0) stands for infinity."""
    if is_zero(proof, 8) or is_zero(proof + 2 * INTEGER, 16) or is_zero(proof + 6 * INTEGER, 8):
        return INFINITY
    return VALID if below_p(proof, 8) else COORDINATE


@kernel
def enter_proof(pair: int, c: int, proof: int) -> int:
    """Bring A and B into a record of the Miller loop and C to `c`, and check that they are on
    curves."""
    noinline()
    residual = stack(E2)
    enter(pair, proof, 6)
    enter(c, proof + 6 * INTEGER, 2)
    for point in (pair, c):
        g1_residual(residual, point)
        if not is_zero(residual, LIMBS):
            return OFF_CURVE
    twist_residual(residual, pair + Q)
    return VALID if is_zero(residual, 2 * LIMBS) else OFF_CURVE


@kernel
def in_subgroup(pair: int) -> bool:
    """After the Miller loop: whether the pair's Q is of order r."""
    residual = stack(MOVING_LINE)
    subgroup_residual(residual, pair)
    return is_zero(residual, 4 * LIMBS) and not is_zero(residual + 2 * E2, 2 * LIMBS)


@kernel
def negated_points(points: int, jacobian: int, count: int, work: int) -> None:
    """The fixed pairs' (x / y, 1 / y) of the negatives of `count` Jacobian points, one inversion.

    x / y = X Z / Y and 1 / y = Z^3 / Y. Infinity becomes (0, 0), whose lines are all 1: its pair
    falls out of the product. work: an element of Fp a point.
    """
    noinline()
    inverse, s = stack(E1), stack(E1)
    for i in range(count):
        t = jacobian + i * JACOBIAN
        if is_zero(t + 2 * E1, LIMBS):
            fp_copy(t + E1, table_address() + ONE * E2)
        if i == 0:
            fp_copy(work, t + E1)
        else:
            fp_mul(work + i * E1, work + (i - 1) * E1, t + E1)
    fp_inv(inverse, work + (count - 1) * E1)
    fp_neg(inverse, inverse)
    for i in range(count - 1, -1, -1):
        t, point = jacobian + i * JACOBIAN, points + i * FIXED_POINT
        fp_copy(s, inverse)
        if i > 0:
            fp_mul(s, inverse, work + (i - 1) * E1)
            fp_mul(inverse, inverse, t + E1)
        fp_mul(s, s, t + 2 * E1)
        fp_mul(point, t, s)
        fp_mul(s, s, t + 2 * E1)
        fp_mul(point + E1, s, t + 2 * E1)


@kernel
def total_of_inputs(
    total: int, inputs: int, count: int, block: int, tables: int, bits: int
) -> bool:
    """total = L, Jacobian; `count` inputs of 256 bits, little-endian. False where one is not below
    r."""
    noinline()
    g1_from_affine(total, block + IC_0)
    fixed_base_sum(total, tables, inputs, count, bits)
    return below_r(inputs, count)


@kernel
def verify_one(proof: int, total: int, block: int) -> int:
    """The verdict's place in VERDICTS for one proof; total: its L."""
    noinline()
    pair, c, jacobian = stack(PAIR), stack(AFFINE), stack(TWO_JACOBIANS)
    points, work, f = stack(TWO_FIXED_POINTS), stack(E2), stack(E12)
    code = screen(proof)
    if code == VALID:
        code = enter_proof(pair, c, proof)
    if code != VALID:
        return code
    g1_from_affine(jacobian, c)
    for i in range(3):
        fp_copy(jacobian + JACOBIAN + i * E1, total + i * E1)
    negated_points(points, jacobian, 2, work)
    miller(f, pair, 1, block + LINES, points, 2)
    if not in_subgroup(pair):
        return OUTSIDE_SUBGROUP
    f12_mul(f, f, block + ALPHA_BETA)
    final_exponentiation(f, f)
    return VALID if is_one(f) else PAIRING
