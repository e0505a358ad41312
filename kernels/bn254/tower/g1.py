"""G1 in Jacobian coordinates: (X, Y, Z) stands for the affine point (X / Z^2, Y / Z^3).

Formulas from the Explicit-Formulas Database (Bernstein, Lange; curves y^2 = x^3 + b). The additions
here are incomplete: where the sum is a doubling or infinity they give Z = 0, and a point with Z = 0
stays one.
"""

from __future__ import annotations

from kernels.bn254.llvm import noinline, stack
from kernels.bn254.scalar import (
    E1,
    fp_add,
    fp_copy,
    fp_mul,
    fp_reduce,
    fp_sqr,
    fp_sub,
    kernel,
)

AFFINE = 2 * E1
JACOBIAN = 3 * E1


@kernel
def g1_double(t: int) -> None:
    """t = 2 t (dbl-2009-l: 2 products, 5 squarings)."""
    noinline()
    a, b, c = stack(E1), stack(E1), stack(E1)
    d, e, s = stack(E1), stack(E1), stack(E1)
    x, y, z = t, t + E1, t + 2 * E1
    fp_sqr(a, x)
    fp_sqr(b, y)
    fp_sqr(c, b)
    # d = 2 ((x + b)^2 - a - c), e = 3 a
    fp_add(d, x, b)
    fp_sqr(d, d)
    fp_sub(d, d, a)
    fp_sub(d, d, c)
    fp_add(d, d, d)
    fp_reduce(d)
    fp_add(e, a, a)
    fp_add(e, e, a)
    fp_mul(z, y, z)
    fp_add(z, z, z)
    fp_reduce(z)
    # x = e^2 - 2 d, y = e (d - x) - 8 c
    fp_sqr(s, e)
    fp_sub(s, s, d)
    fp_sub(x, s, d)
    fp_reduce(x)
    fp_sub(d, d, x)
    fp_mul(s, e, d)
    for _ in range(3):
        fp_add(c, c, c)
    fp_reduce(c)
    fp_sub(y, s, c)
    fp_reduce(y)


@kernel
def g1_add_affine(d: int, t: int, q: int) -> None:
    """d = t + q, q affine (after madd-2007-bl: 8 products, 3 squarings)."""
    noinline()
    zz, h, r = stack(E1), stack(E1), stack(E1)
    hh, hhh, v, s = stack(E1), stack(E1), stack(E1), stack(E1)
    # h = x_q z^2 - x, r = y_q z^3 - y
    fp_sqr(zz, t + 2 * E1)
    fp_mul(h, q, zz)
    fp_sub(h, h, t)
    fp_reduce(h)
    fp_mul(r, q + E1, t + 2 * E1)
    fp_mul(r, r, zz)
    fp_sub(r, r, t + E1)
    fp_reduce(r)
    fp_sqr(hh, h)
    fp_mul(hhh, h, hh)
    fp_mul(v, t, hh)
    # x' = r^2 - h^3 - 2 v, y' = r (v - x') - y h^3, z' = z h
    fp_sqr(s, r)
    fp_sub(s, s, hhh)
    fp_sub(s, s, v)
    fp_sub(s, s, v)
    fp_reduce(s)
    fp_mul(hhh, hhh, t + E1)
    fp_sub(v, v, s)
    fp_mul(r, r, v)
    fp_mul(d + 2 * E1, t + 2 * E1, h)
    fp_copy(d, s)
    fp_sub(d + E1, r, hhh)
    fp_reduce(d + E1)


@kernel
def g1_add(d: int, t: int, q: int) -> None:
    """d = t + q, both Jacobian (add-1998-cmo-2: 12 products, 4 squarings)."""
    noinline()
    z1, z2, u = stack(E1), stack(E1), stack(E1)
    h, s, r = stack(E1), stack(E1), stack(E1)
    hh, hhh, x = stack(E1), stack(E1), stack(E1)
    fp_sqr(z1, t + 2 * E1)
    fp_sqr(z2, q + 2 * E1)
    fp_mul(u, t, z2)
    fp_mul(h, q, z1)
    fp_sub(h, h, u)
    fp_reduce(h)
    fp_mul(s, t + E1, q + 2 * E1)
    fp_mul(s, s, z2)
    fp_mul(r, q + E1, t + 2 * E1)
    fp_mul(r, r, z1)
    fp_sub(r, r, s)
    fp_reduce(r)
    fp_sqr(hh, h)
    fp_mul(hhh, h, hh)
    fp_mul(u, u, hh)
    fp_mul(x, t + 2 * E1, q + 2 * E1)
    fp_mul(d + 2 * E1, x, h)
    fp_sqr(x, r)
    fp_sub(x, x, hhh)
    fp_sub(x, x, u)
    fp_sub(x, x, u)
    fp_reduce(x)
    fp_mul(hhh, hhh, s)
    fp_sub(u, u, x)
    fp_mul(r, r, u)
    fp_copy(d, x)
    fp_sub(d + E1, r, hhh)
    fp_reduce(d + E1)
