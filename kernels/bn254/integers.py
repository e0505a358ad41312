"""The orders of BN254, and Fp2 on Python's integers: for what happens once a key, where a
microsecond is nothing."""

from __future__ import annotations

from typing import Final, TypeAlias

# The curve's one parameter, the order of the field Fp and the order of the groups.
X: Final = 4965661367192848881
P: Final = 36 * X**4 + 36 * X**3 + 24 * X**2 + 6 * X + 1
R: Final = 36 * X**4 + 36 * X**3 + 18 * X**2 + 6 * X + 1

# G1 is y^2 = x^3 + B.
B: Final = 3

Fp2: TypeAlias = tuple[int, int]
G1Point: TypeAlias = tuple[int, int]
G2Point: TypeAlias = tuple[Fp2, Fp2]


def fp2_add(a: Fp2, b: Fp2) -> Fp2:
    """a + b."""
    return (a[0] + b[0]) % P, (a[1] + b[1]) % P


def fp2_subtract(a: Fp2, b: Fp2) -> Fp2:
    """a - b."""
    return (a[0] - b[0]) % P, (a[1] - b[1]) % P


def fp2_multiply(a: Fp2, b: Fp2) -> Fp2:
    """a b, with u^2 = -1."""
    return (a[0] * b[0] - a[1] * b[1]) % P, (a[0] * b[1] + a[1] * b[0]) % P


def fp2_scale(a: Fp2, k: int) -> Fp2:
    """k a for an integer k."""
    return a[0] * k % P, a[1] * k % P


def fp2_negate(a: Fp2) -> Fp2:
    """-a."""
    return -a[0] % P, -a[1] % P


def fp2_conjugate(a: Fp2) -> Fp2:
    """a^p."""
    return a[0], -a[1] % P


def fp2_inverse(a: Fp2) -> Fp2:
    """1 / a; ZeroDivisionError for zero."""
    norm = (a[0] * a[0] + a[1] * a[1]) % P
    if not norm:
        raise ZeroDivisionError
    inverse = pow(norm, -1, P)
    return a[0] * inverse % P, -a[1] * inverse % P


def fp2_power(a: Fp2, exponent: int) -> Fp2:
    """a^exponent by squaring, exponent >= 0."""
    result = (1, 0)
    while exponent:
        if exponent & 1:
            result = fp2_multiply(result, a)
        a = fp2_multiply(a, a)
        exponent >>= 1
    return result
