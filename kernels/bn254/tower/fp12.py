"""Fp12 = Fp6[w] / (w^2 - v): elements a0 + a1 w, two elements of Fp6 in a row."""

from __future__ import annotations

from kernels.bn254.llvm import noinline, stack
from kernels.bn254.parameters import FROBENIUS, ONE
from kernels.bn254.scalar import (
    E2,
    f2_add,
    f2_conj,
    f2_copy,
    f2_cyclotomic_even,
    f2_cyclotomic_odd,
    f2_mul,
    f2_plus_xi,
    f2_sub,
    f2_sum,
    f2_xi,
    kernel,
    table_address,
)
from kernels.bn254.tower.fp6 import (
    E6,
    f6_add,
    f6_copy,
    f6_inv,
    f6_minus_minus,
    f6_minus_minus_v,
    f6_mul,
    f6_mul_01,
    f6_neg,
    f6_plus_v,
)

E12 = 2 * E6


@kernel
def f12_one(d: int) -> None:
    """d = 1."""
    one = table_address() + ONE * E2
    f2_copy(d, one)
    for i in range(1, 6):
        f2_sub(d + i * E2, one, one)


@kernel
def f12_copy(d: int, a: int) -> None:
    """d = a."""
    f6_copy(d, a)
    f6_copy(d + E6, a + E6)


@kernel
def f12_conj(d: int, a: int) -> None:
    """d = a^(p^6), the inverse of a where its norm is 1."""
    f6_copy(d, a)
    f6_neg(d + E6, a + E6)


@kernel
def f12_mul(d: int, a: int, b: int) -> None:
    """d = a b by Karatsuba, 18 products in Fp2."""
    noinline()
    v0, v1 = stack(E6), stack(E6)
    s, t = stack(E6), stack(E6)
    f6_mul(v0, a, b)
    f6_mul(v1, a + E6, b + E6)
    f6_add(s, a, a + E6)
    f6_add(t, b, b + E6)
    f6_mul(s, s, t)
    f6_minus_minus(d + E6, s, v0, v1)
    f6_plus_v(d, v0, v1)


@kernel
def f12_sqr(d: int, a: int) -> None:
    """d = a^2 by the complex method, 12 products in Fp2 (Beuchat et al., algorithm 22).

    a0^2 + v a1^2 = (a0 + a1)(a0 + v a1) - a0 a1 - v a0 a1.
    """
    noinline()
    t, s, u = stack(E6), stack(E6), stack(E6)
    f6_mul(t, a, a + E6)
    f6_add(s, a, a + E6)
    f6_plus_v(u, a, a + E6)
    f6_mul(s, s, u)
    f6_minus_minus_v(d, s, t, t)
    f6_add(d + E6, t, t)


@kernel
def f12_inv(d: int, a: int) -> None:
    """d = 1 / a = conj(a) / (a0^2 - v a1^2)."""
    noinline()
    t, s = stack(E6), stack(E6)
    f6_mul(t, a, a)
    f6_mul(s, a + E6, a + E6)
    f6_neg(s, s)
    f6_plus_v(t, t, s)
    f6_inv(t, t)
    f6_neg(s, a + E6)
    f6_mul(d, a, t)
    f6_mul(d + E6, s, t)


@kernel
def f12_frobenius(d: int, a: int, k: int) -> None:
    """d = a^(p^k) for k = 1, 2, 3: conjugate (k odd) and scale the coefficient of w^i."""
    noinline()
    t = stack(E2)
    factors = table_address() + (FROBENIUS + 5 * (k - 1) - 1) * E2
    for i in range(6):
        at = (i & 1) * E6 + (i >> 1) * E2
        if k & 1:
            f2_conj(t, a + at)
        else:
            f2_copy(t, a + at)
        if i:
            f2_mul(d + at, t, factors + i * E2)
        else:
            f2_copy(d + at, t)


@kernel
def _f4_products(cross: int, product: int, x: int, y: int) -> None:
    """For (x + y s)^2 in Fp4 = Fp2[s] / (s^2 - xi): (x + y)(x + xi y) and x y.

    The square is (cross - product - xi product) + 2 product s.
    """
    t = stack(E2)
    f2_plus_xi(t, x, y)
    f2_sum(cross, x, y)
    f2_mul(cross, cross, t)
    f2_mul(product, x, y)


@kernel
def f12_cyclotomic_sqr(d: int, a: int) -> None:
    """d = a^2 where a^(p^4 - p^2 + 1) = 1 (Granger and Scott, PKC 2010): three squares in Fp4.

    Of each square t, coefficients are 3 t - 2 a or 3 t + 2 a.
    """
    noinline()
    q0, q1, q2 = stack(E2), stack(E2), stack(E2)
    m0, m1, m2 = stack(E2), stack(E2), stack(E2)
    b, e = a + E6, d + E6
    _f4_products(q0, m0, a, b + E2)
    _f4_products(q1, m1, b, a + 2 * E2)
    _f4_products(q2, m2, a + E2, b + 2 * E2)
    f2_cyclotomic_even(d, q0, m0, a)
    f2_cyclotomic_odd(e + E2, m0, b + E2)
    f2_cyclotomic_even(d + E2, q1, m1, a + E2)
    f2_cyclotomic_odd(e + 2 * E2, m1, b + 2 * E2)
    f2_cyclotomic_even(d + 2 * E2, q2, m2, a + 2 * E2)
    f2_xi(m2, m2)
    f2_cyclotomic_odd(e, m2, b)


@kernel
def f12_mul_034(f: int, c0: int, c3: int, c4: int) -> None:
    """f = f (c0 + (c3 + c4 v) w): a line through a moving point, 13 products in Fp2."""
    noinline()
    a, b, e = stack(E6), stack(E6), stack(E6)
    s = stack(E2)
    for i in range(3):
        f2_mul(a + i * E2, f + i * E2, c0)
    f6_mul_01(b, f + E6, c3, c4)
    f6_add(e, f, f + E6)
    f2_add(s, c0, c3)
    f6_mul_01(e, e, s, c4)
    f6_minus_minus(f + E6, e, a, b)
    f6_plus_v(f, a, b)


@kernel
def f12_mul_134(f: int, c3: int, c4: int) -> None:
    """f = f (1 + (c3 + c4 v) w): a line of a fixed point, 10 products in Fp2."""
    noinline()
    a, b = stack(E6), stack(E6)
    f6_mul_01(a, f, c3, c4)
    f6_mul_01(b, f + E6, c3, c4)
    f6_add(f + E6, a, f + E6)
    f6_plus_v(f, f, b)
