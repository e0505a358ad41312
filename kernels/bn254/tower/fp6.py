"""Fp6 = Fp2[v] / (v^3 - xi): elements a0 + a1 v + a2 v^2, three elements of Fp2 in a row."""

from __future__ import annotations

from kernels.bn254.llvm import noinline, stack
from kernels.bn254.scalar import (
    E2,
    f2_add,
    f2_copy,
    f2_karatsuba_0,
    f2_karatsuba_1,
    f2_karatsuba_2,
    f2_minus_minus,
    f2_minus_minus_xi,
    f2_minus_plus,
    f2_mul,
    f2_neg,
    f2_plus_xi,
    f2_sqr,
    f2_sub,
    f2_sum,
    f2_xi,
    f2_xi_difference_plus,
    kernel,
)
from kernels.bn254.tower.fp2 import f2_inv

E6 = 3 * E2


@kernel
def f6_copy(d: int, a: int) -> None:
    """d = a."""
    for i in range(3):
        f2_copy(d + i * E2, a + i * E2)


@kernel
def f6_add(d: int, a: int, b: int) -> None:
    """d = a + b."""
    for i in range(3):
        f2_add(d + i * E2, a + i * E2, b + i * E2)


@kernel
def f6_neg(d: int, a: int) -> None:
    """d = -a."""
    for i in range(3):
        f2_neg(d + i * E2, a + i * E2)


@kernel
def f6_minus_minus(d: int, a: int, b: int, c: int) -> None:
    """d = a - b - c."""
    for i in range(3):
        f2_minus_minus(d + i * E2, a + i * E2, b + i * E2, c + i * E2)


@kernel
def f6_minus_minus_v(d: int, a: int, b: int, c: int) -> None:
    """d = a - b - v c; d is none of the operands."""
    f2_minus_minus_xi(d, a, b, c + 2 * E2)
    f2_minus_minus(d + E2, a + E2, b + E2, c)
    f2_minus_minus(d + 2 * E2, a + 2 * E2, b + 2 * E2, c + E2)


@kernel
def f6_plus_v(d: int, a: int, b: int) -> None:
    """d = a + v b; d may be a, not b."""
    f2_plus_xi(d, a, b + 2 * E2)
    f2_add(d + E2, a + E2, b)
    f2_add(d + 2 * E2, a + 2 * E2, b + E2)


@kernel
def f6_mul(d: int, a: int, b: int) -> None:
    """d = a b by Karatsuba, six products in Fp2 (Devegili et al., IACR ePrint 2006/471)."""
    noinline()
    v0, v1, v2 = stack(E2), stack(E2), stack(E2)
    c0, c1, c2 = stack(E2), stack(E2), stack(E2)
    s, t = stack(E2), stack(E2)
    f2_mul(v0, a, b)
    f2_mul(v1, a + E2, b + E2)
    f2_mul(v2, a + 2 * E2, b + 2 * E2)
    f2_sum(s, a + E2, a + 2 * E2)
    f2_sum(t, b + E2, b + 2 * E2)
    f2_mul(c0, s, t)
    f2_sum(s, a, a + E2)
    f2_sum(t, b, b + E2)
    f2_mul(c1, s, t)
    f2_sum(s, a, a + 2 * E2)
    f2_sum(t, b, b + 2 * E2)
    f2_mul(c2, s, t)
    f2_karatsuba_0(d, c0, v1, v2, v0)
    f2_karatsuba_1(d + E2, c1, v0, v1, v2)
    f2_karatsuba_2(d + 2 * E2, c2, v0, v2, v1)


@kernel
def f6_mul_01(d: int, a: int, b0: int, b1: int) -> None:
    """d = a (b0 + b1 v), five products in Fp2."""
    noinline()
    v0, v1 = stack(E2), stack(E2)
    c0, c1, c2 = stack(E2), stack(E2), stack(E2)
    t = stack(E2)
    f2_mul(v0, a, b0)
    f2_mul(v1, a + E2, b1)
    f2_sum(c0, a + E2, a + 2 * E2)
    f2_mul(c0, c0, b1)
    f2_sum(c1, a, a + E2)
    f2_sum(t, b0, b1)
    f2_mul(c1, c1, t)
    f2_sum(c2, a, a + 2 * E2)
    f2_mul(c2, c2, b0)
    f2_xi_difference_plus(d, c0, v1, v0)
    f2_minus_minus(d + E2, c1, v0, v1)
    f2_minus_plus(d + 2 * E2, c2, v0, v1)


@kernel
def f6_inv(d: int, a: int) -> None:
    """d = 1 / a by the adjoint and the norm to Fp2 (Beuchat et al., Pairing 2010, algorithm 17)."""
    noinline()
    t0, t1, t2 = stack(E2), stack(E2), stack(E2)
    s, u = stack(E2), stack(E2)
    # The adjoint: a0^2 - xi a1 a2, xi a2^2 - a0 a1, a1^2 - a0 a2.
    f2_sqr(t0, a)
    f2_mul(s, a + E2, a + 2 * E2)
    f2_xi(s, s)
    f2_sub(t0, t0, s)
    f2_sqr(t1, a + 2 * E2)
    f2_xi(t1, t1)
    f2_mul(s, a, a + E2)
    f2_sub(t1, t1, s)
    f2_sqr(t2, a + E2)
    f2_mul(s, a, a + 2 * E2)
    f2_sub(t2, t2, s)
    # The norm: a0 t0 + xi (a2 t1 + a1 t2).
    f2_mul(s, a + 2 * E2, t1)
    f2_mul(u, a + E2, t2)
    f2_add(s, s, u)
    f2_mul(u, a, t0)
    f2_plus_xi(s, u, s)
    f2_inv(s, s)
    f2_mul(d, t0, s)
    f2_mul(d + E2, t1, s)
    f2_mul(d + 2 * E2, t2, s)
