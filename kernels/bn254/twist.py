"""Points of G2 known in advance: their checks and the lines of their Miller loop, on integers.

Runs once a key. A line through points of the twist is the pair (-slope, slope x - y).
"""

from __future__ import annotations

from kernels.bn254.integers import (
    Fp2,
    G2Point,
    fp2_add,
    fp2_conjugate,
    fp2_inverse,
    fp2_multiply,
    fp2_negate,
    fp2_scale,
    fp2_subtract,
)
from kernels.bn254.parameters import ATE_DIGITS, PSI_X, PSI_Y, TWIST_B

Line = tuple[Fp2, Fp2]

# The generator that EIP-197 and snarkjs use.
GENERATOR: G2Point = (
    (
        10857046999023057135944570762232829481370756359578518086990519993285655852781,
        11559732032986387107991004021392285783925812861821192530917403151452391805634,
    ),
    (
        8495653923123431417604973247489272438418190587263600148770280649306958101930,
        4082367875863433681332203403145435568316851327593401208105741076214120093531,
    ),
)


class OutsideSubgroupError(ValueError):
    """A point of the twist is not of order r."""


def on_twist(q: G2Point) -> bool:
    """Whether y^2 = x^3 + 3 / xi."""
    x, y = q
    cube = fp2_multiply(fp2_multiply(x, x), x)
    return fp2_multiply(y, y) == fp2_add(cube, TWIST_B)


def psi(q: G2Point) -> G2Point:
    """The twisted Frobenius."""
    x, y = q
    return fp2_multiply(fp2_conjugate(x), PSI_X), fp2_multiply(fp2_conjugate(y), PSI_Y)


def negate(q: G2Point) -> G2Point:
    """-q."""
    return q[0], fp2_negate(q[1])


def _step(t: G2Point, x: Fp2, slope: Fp2) -> tuple[G2Point, Line]:
    """The third point of the line of this slope through t and a point at x, mirrored; and the
    line."""
    third = fp2_subtract(fp2_subtract(fp2_multiply(slope, slope), t[0]), x)
    y = fp2_subtract(fp2_multiply(slope, fp2_subtract(t[0], third)), t[1])
    line = fp2_negate(slope), fp2_subtract(fp2_multiply(slope, t[0]), t[1])
    return (third, y), line


def double(t: G2Point) -> tuple[G2Point, Line]:
    """2 t, and the tangent at t."""
    square = fp2_scale(fp2_multiply(t[0], t[0]), 3)
    return _step(t, t[0], fp2_multiply(square, fp2_inverse(fp2_scale(t[1], 2))))


def add(t: G2Point, q: G2Point) -> tuple[G2Point, Line]:
    """t + q for t other than q and -q, and the chord."""
    rise, run = fp2_subtract(t[1], q[1]), fp2_subtract(t[0], q[0])
    return _step(t, q[0], fp2_multiply(rise, fp2_inverse(run)))


def fixed_lines(q: G2Point) -> list[Line]:
    """The lines of the loop over a point of the twist, LINES of them.

    OutsideSubgroupError if it is not of order r: shown by the loop's end, as in
    `subgroup_residual`.
    """
    try:
        return _lines(q)
    except ZeroDivisionError:
        raise OutsideSubgroupError from None


def _lines(q: G2Point) -> list[Line]:
    lines = []
    t = q
    for digit in ATE_DIGITS:
        t, line = double(t)
        lines.append(line)
        if digit:
            t, line = add(t, q if digit > 0 else negate(q))
            lines.append(line)
    frobenius = psi(q)
    last = negate(psi(frobenius))
    for point in (frobenius, last):
        t, line = add(t, point)
        lines.append(line)
    if t != psi(last):
        raise OutsideSubgroupError
    return lines
