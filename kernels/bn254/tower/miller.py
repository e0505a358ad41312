"""Miller's loop of the optimal ate pairing for several pairs, and membership of their points.

A moving pair is a record of twelve elements of Fp2: the affine point of G1 (two elements of Fp),
then at Q the affine point of the twist, at T the running point in homogeneous coordinates, and from
MINUS_Q on -Q, psi(Q) and -psi^2(Q), affine. A fixed pair is a point of the twist whose lines are
known, and beside it (x / y, 1 / y) of its point of G1.
"""

from __future__ import annotations

import numpy as np

from kernels.bn254.llvm import noinline, stack
from kernels.bn254.parameters import (
    ATE_DIGITS,
    LINES,
    ONE,
    PSI_X_AT,
    PSI_Y_AT,
    THREE,
    TWIST,
    TWIST_3,
)
from kernels.bn254.scalar import (
    E1,
    E2,
    f2_add,
    f2_conj,
    f2_copy,
    f2_double,
    f2_four_minus_minus,
    f2_minus_3,
    f2_minus_12,
    f2_minus_minus,
    f2_mul,
    f2_neg,
    f2_plus_3,
    f2_plus_minus_2,
    f2_scale,
    f2_sqr,
    f2_sub,
    f2_triple,
    fp_add,
    fp_mul,
    fp_reduce,
    fp_sqr,
    fp_sub_4p,
    kernel,
    table_address,
)
from kernels.bn254.tower.fp12 import f12_mul_034, f12_mul_134, f12_one, f12_sqr

DIGITS = np.array(ATE_DIGITS, np.int64)

Q = E2
T = 3 * E2
MINUS_Q = 6 * E2
PSI = 8 * E2
MINUS_PSI_2 = 10 * E2
PAIR = 12 * E2

LINE = 2 * E2
FIXED_LINES = LINES * LINE
FIXED_POINT = 2 * E1
MOVING_LINE = 3 * E2
TWIST_POINT = 2 * E2


@kernel
def psi(d: int, q: int) -> None:
    """d = psi(q), the twisted Frobenius of an affine point."""
    t = stack(E2)
    f2_conj(t, q)
    f2_mul(d, t, table_address() + PSI_X_AT * E2)
    f2_conj(t, q + E2)
    f2_mul(d + E2, t, table_address() + PSI_Y_AT * E2)


@kernel
def prepare_pair(pair: int) -> None:
    """Fill a record from its two points."""
    noinline()
    q = pair + Q
    f2_copy(pair + T, q)
    f2_copy(pair + T + E2, q + E2)
    f2_copy(pair + T + 2 * E2, table_address() + ONE * E2)
    f2_copy(pair + MINUS_Q, q)
    f2_neg(pair + MINUS_Q + E2, q + E2)
    psi(pair + PSI, q)
    psi(pair + MINUS_PSI_2, pair + PSI)
    f2_neg(pair + MINUS_PSI_2 + E2, pair + MINUS_PSI_2 + E2)


@kernel
def double_step(t: int, line: int) -> None:
    """t = 2 t, and the tangent's coefficients (of y, of x, constant) at `line`.

    Costello, Lange, Naehrig (PKC 2010) as in Aranha et al. (EUROCRYPT 2011), for the D-type twist.
    """
    noinline()
    b, c, e, g = stack(E2), stack(E2), stack(E2), stack(E2)
    h, s, u, j = stack(E2), stack(E2), stack(E2), stack(E2)
    x, y, z = t, t + E2, t + 2 * E2
    # b = y^2, c = z^2, e = 3 b' c, h = 2 y z
    f2_sqr(b, y)
    f2_sqr(c, z)
    f2_mul(e, c, table_address() + TWIST_3 * E2)
    f2_add(h, y, z)
    f2_sqr(h, h)
    f2_four_minus_minus(u, h, b, c)
    f2_minus_minus(h, h, b, c)
    f2_sqr(j, x)
    # Four times the usual formulas, which spares their halves:
    # x' = 2 x y (b - 3 e), y' = (b + 3 e)^2 - 12 e^2, z' = 4 b h
    f2_minus_3(s, b, e)
    f2_mul(x, x, y)
    f2_mul(x, x, s)
    f2_double(x, x)
    f2_plus_3(g, b, e)
    f2_sqr(g, g)
    f2_sqr(s, e)
    f2_minus_12(y, g, s)
    f2_mul(z, b, u)
    f2_neg(line, h)
    f2_triple(line + E2, j)
    f2_sub(line + 2 * E2, e, b)


@kernel
def add_step(t: int, q: int, line: int) -> None:
    """t = t + q for affine q, and the chord's coefficients at `line` (same sources)."""
    noinline()
    theta, la, c, d = stack(E2), stack(E2), stack(E2), stack(E2)
    e, f, g, h = stack(E2), stack(E2), stack(E2), stack(E2)
    x, y, z = t, t + E2, t + 2 * E2
    f2_mul(theta, q + E2, z)
    f2_sub(theta, y, theta)
    f2_mul(la, q, z)
    f2_sub(la, x, la)
    f2_sqr(c, theta)
    f2_sqr(d, la)
    f2_mul(e, la, d)
    f2_mul(f, z, c)
    f2_mul(g, x, d)
    f2_plus_minus_2(h, e, f, g)
    f2_mul(x, la, h)
    f2_sub(g, g, h)
    f2_mul(g, theta, g)
    f2_mul(f, e, y)
    f2_sub(y, g, f)
    f2_mul(z, z, e)
    f2_mul(f, theta, q)
    f2_mul(g, la, q + E2)
    f2_sub(line + 2 * E2, f, g)
    f2_copy(line, la)
    f2_neg(line + E2, theta)


@kernel
def _moving(f: int, line: int, pair: int) -> None:
    """f times a moving line at the pair's point of G1."""
    f2_scale(line, line, pair + E1)
    f2_scale(line + E2, line + E2, pair)
    f12_mul_034(f, line, line + E2, line + 2 * E2)


@kernel
def _fixed(f: int, lines: int, points: int, count: int) -> None:
    """f times one line of each fixed pair, divided by y (a factor that the exponentiation
    kills)."""
    c3, c4 = stack(E2), stack(E2)
    for k in range(count):
        line, point = lines + k * FIXED_LINES, points + k * FIXED_POINT
        f2_scale(c3, line, point)
        f2_scale(c4, line + E2, point + E1)
        f12_mul_134(f, c3, c4)


@kernel
def _add_all(f: int, pairs: int, count: int, which: int) -> None:
    """One addition for each moving pair; `which` is the place in the record of what is added."""
    line = stack(MOVING_LINE)
    for k in range(count):
        pair = pairs + k * PAIR
        add_step(pair + T, pair + which, line)
        _moving(f, line, pair)


@kernel
def miller(f: int, pairs: int, count: int, lines: int, points: int, fixed: int) -> None:
    """f = the product over `count` moving and `fixed` fixed pairs, before the final exponentiation.

    Records are filled here; afterwards T is [6X + 2]Q + psi(Q) - psi^2(Q). `lines` holds
    FIXED_LINES bytes a fixed pair, `points` FIXED_POINT.
    """
    noinline()
    line = stack(MOVING_LINE)
    f12_one(f)
    for k in range(count):
        prepare_pair(pairs + k * PAIR)
    for i in range(len(DIGITS)):
        if i > 0:
            f12_sqr(f, f)
        for k in range(count):
            double_step(pairs + k * PAIR + T, line)
            _moving(f, line, pairs + k * PAIR)
        _fixed(f, lines, points, fixed)
        lines += LINE
        if DIGITS[i] != 0:
            _add_all(f, pairs, count, Q if DIGITS[i] > 0 else MINUS_Q)
            _fixed(f, lines, points, fixed)
            lines += LINE
    for which in (PSI, MINUS_PSI_2):
        _add_all(f, pairs, count, which)
        _fixed(f, lines, points, fixed)
        lines += LINE


@kernel
def subgroup_residual(d: int, pair: int) -> None:
    """After the loop: three elements of Fp2 that show whether Q lies in the subgroup of order r.

    With f = 6X + 2 + psi - psi^2 + psi^3, f(Q) is infinity on the subgroup. The norm of f modulo
    psi's characteristic polynomial shares with the twist's order only the factor r (a test computes
    it), so no point of another order has f(Q) at infinity (the method of El Housni, Guillevic,
    Piellard, AFRICACRYPT 2022, after Scott, IACR ePrint 2021/1130). The loop ends with T = f(Q) -
    psi^3(Q), so the check is T = -psi^3(Q), and costs four products. A point that meets an
    exception of the incomplete additions ends with Z = 0.

    d = X - x Z, Y - y Z, which must be 0, and Z, which must not.
    """
    noinline()
    q = stack(TWIST_POINT)
    t = stack(E2)
    psi(q, pair + MINUS_PSI_2)
    for i in range(2):
        f2_mul(t, q + i * E2, pair + T + 2 * E2)
        f2_sub(d + i * E2, pair + T + i * E2, t)
    f2_copy(d + 2 * E2, pair + T + 2 * E2)


@kernel
def g1_residual(d: int, p: int) -> None:
    """d = y^2 - x^3 - 3 in Fp: zero on the curve."""
    noinline()
    t = stack(E1)
    fp_sqr(t, p)
    fp_mul(t, t, p)
    fp_add(t, t, table_address() + THREE * E2)
    fp_sqr(d, p + E1)
    fp_sub_4p(d, d, t)
    fp_reduce(d)


@kernel
def twist_residual(d: int, q: int) -> None:
    """d = y^2 - x^3 - 3 / xi in Fp2: zero on the twist."""
    noinline()
    t = stack(E2)
    f2_sqr(t, q)
    f2_mul(t, t, q)
    f2_add(t, t, table_address() + TWIST * E2)
    f2_sqr(d, q + E2)
    f2_sub(d, d, t)
