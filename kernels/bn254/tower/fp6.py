"""Fp6 = Fp2[v] / (v^3 - xi): elements a0 + a1 v + a2 v^2, three elements of Fp2 in a row."""

from __future__ import annotations

from kernels.bn254.llvm import noinline, stack
from kernels.bn254.scalar import (
    E2,
    f2_add,
    f2_copy,
    f2_mul,
    f2_neg,
    f2_reduce,
    f2_sqr,
    f2_sub,
    f2_xi,
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
    """d = a + b, unreduced."""
    for i in range(3):
        f2_add(d + i * E2, a + i * E2, b + i * E2)


@kernel
def f6_sub(d: int, a: int, b: int) -> None:
    """d = a - b, unreduced; b below 2p."""
    for i in range(3):
        f2_sub(d + i * E2, a + i * E2, b + i * E2)


@kernel
def f6_neg(d: int, a: int) -> None:
    """d = -a; a below 2p."""
    for i in range(3):
        f2_neg(d + i * E2, a + i * E2)


@kernel
def f6_reduce(a: int) -> None:
    """Bring a below 2p."""
    for i in range(3):
        f2_reduce(a + i * E2)


@kernel
def f6_times_v(d: int, a: int) -> None:
    """d = v a."""
    t = stack(E2)
    f2_xi(t, a + 2 * E2)
    f2_copy(d + 2 * E2, a + E2)
    f2_copy(d + E2, a)
    f2_copy(d, t)


@kernel
def f6_mul(d: int, a: int, b: int) -> None:
    """d = a b by Karatsuba, six products in Fp2 (Devegili et al., IACR ePrint 2006/471).

    Operands below 4p.
    """
    noinline()
    v0, v1, v2 = stack(E2), stack(E2), stack(E2)
    c0, c1, c2 = stack(E2), stack(E2), stack(E2)
    s, t = stack(E2), stack(E2)
    f2_mul(v0, a, b)
    f2_mul(v1, a + E2, b + E2)
    f2_mul(v2, a + 2 * E2, b + 2 * E2)
    f2_add(s, a + E2, a + 2 * E2)
    f2_add(t, b + E2, b + 2 * E2)
    f2_mul(c0, s, t)
    f2_add(s, a, a + E2)
    f2_add(t, b, b + E2)
    f2_mul(c1, s, t)
    f2_add(s, a, a + 2 * E2)
    f2_add(t, b, b + 2 * E2)
    f2_mul(c2, s, t)
    # The first: v0 + xi (c0 - v1 - v2).
    f2_sub(c0, c0, v1)
    f2_sub(c0, c0, v2)
    f2_xi(c0, c0)
    f2_add(d, c0, v0)
    f2_reduce(d)
    # The second: c1 - v0 - v1 + xi v2.
    f2_sub(c1, c1, v0)
    f2_sub(c1, c1, v1)
    f2_xi(t, v2)
    f2_add(d + E2, c1, t)
    f2_reduce(d + E2)
    # The third: c2 - v0 - v2 + v1.
    f2_sub(c2, c2, v0)
    f2_sub(c2, c2, v2)
    f2_add(d + 2 * E2, c2, v1)
    f2_reduce(d + 2 * E2)


@kernel
def f6_mul_01(d: int, a: int, b0: int, b1: int) -> None:
    """d = a (b0 + b1 v), five products in Fp2. Operands below 4p."""
    noinline()
    v0, v1 = stack(E2), stack(E2)
    c0, c1, c2 = stack(E2), stack(E2), stack(E2)
    t = stack(E2)
    f2_mul(v0, a, b0)
    f2_mul(v1, a + E2, b1)
    f2_add(c0, a + E2, a + 2 * E2)
    f2_mul(c0, c0, b1)
    f2_add(c1, a, a + E2)
    f2_add(t, b0, b1)
    f2_mul(c1, c1, t)
    f2_add(c2, a, a + 2 * E2)
    f2_mul(c2, c2, b0)
    f2_sub(c0, c0, v1)
    f2_xi(c0, c0)
    f2_add(d, c0, v0)
    f2_reduce(d)
    f2_sub(c1, c1, v0)
    f2_sub(d + E2, c1, v1)
    f2_reduce(d + E2)
    f2_sub(c2, c2, v0)
    f2_add(d + 2 * E2, c2, v1)
    f2_reduce(d + 2 * E2)


@kernel
def f6_inv(d: int, a: int) -> None:
    """d = 1 / a by the adjoint and the norm to Fp2 (Beuchat et al., Pairing 2010, algorithm 17)."""
    noinline()
    t0, t1, t2 = stack(E2), stack(E2), stack(E2)
    s, u = stack(E2), stack(E2)
    # t0 = a0^2 - xi a1 a2
    f2_sqr(t0, a)
    f2_mul(s, a + E2, a + 2 * E2)
    f2_xi(s, s)
    f2_sub(t0, t0, s)
    f2_reduce(t0)
    # t1 = xi a2^2 - a0 a1
    f2_sqr(t1, a + 2 * E2)
    f2_xi(t1, t1)
    f2_mul(s, a, a + E2)
    f2_sub(t1, t1, s)
    f2_reduce(t1)
    # t2 = a1^2 - a0 a2
    f2_sqr(t2, a + E2)
    f2_mul(s, a, a + 2 * E2)
    f2_sub(t2, t2, s)
    f2_reduce(t2)
    # norm = a0 t0 + xi (a2 t1 + a1 t2)
    f2_mul(s, a + 2 * E2, t1)
    f2_mul(u, a + E2, t2)
    f2_add(s, s, u)
    f2_xi(s, s)
    f2_mul(u, a, t0)
    f2_add(s, s, u)
    f2_reduce(s)
    f2_inv(s, s)
    f2_mul(d, t0, s)
    f2_mul(d + E2, t1, s)
    f2_mul(d + 2 * E2, t2, s)
