"""The curve BN254 (EIP-196's alt_bn128, snarkjs's bn128) and the constants that follow from it.

Everything derives from one integer, X (Barreto and Naehrig, "Pairing-friendly elliptic curves of
prime order", SAC 2005). G1 is y^2 = x^3 + 3 over Fp, of prime order R. G2 is the subgroup of order
R of the sextic twist y^2 = x^3 + 3/xi over Fp2 = Fp[u]/(u^2 + 1), xi = 9 + u. Above it Fp6 =
Fp2[v]/(v^3 - xi) and Fp12 = Fp6[w]/(w^2 - v).

The names of the table's entries are their places, counted in elements of Fp2.
"""

from __future__ import annotations

from typing import Final

from kernels.bn254.integers import B, P, X, fp2_inverse, fp2_multiply, fp2_power, fp2_scale

XI: Final = (9, 1)
TWIST_B: Final = fp2_multiply((B, 0), fp2_inverse(XI))

# Untwist, Frobenius, twist: psi(x, y) = (conj(x) PSI_X, conj(y) PSI_Y), an endomorphism of G2.
PSI_X: Final = fp2_power(XI, (P - 1) // 3)
PSI_Y: Final = fp2_power(XI, (P - 1) // 2)

# phi(x, y) = (BETA x, y) is multiplication by LAMBDA on G1 (Gallant, Lambert, Vanstone, CRYPTO
# 2001).
BETA: Final = pow(3, 2 * (P - 1) // 3, P)
LAMBDA: Final = 36 * X**3 + 18 * X**2 + 6 * X + 1


def windowed_non_adjacent_form(number: int, width: int) -> list[int]:
    """Digits, highest first: 0, or odd and below 2^(width-1) in size, each then `width` - 1
    zeros."""
    digits = []
    while number:
        digit = 0
        if number & 1:
            digit = number % (1 << width)
            digit -= digit >> (width - 1) << width
        digits.append(digit)
        number = (number - digit) // 2
    return digits[::-1]


# The optimal ate loop runs over 6X + 2 (Vercauteren, IEEE Trans. Inf. Theory 56, 2010), from its
# second digit; a fixed point needs a line for each digit, one more where it is not zero, and two.
ATE_DIGITS: Final = windowed_non_adjacent_form(6 * X + 2, 2)[1:]
LINES: Final = len(ATE_DIGITS) + sum(digit != 0 for digit in ATE_DIGITS) + 2

ONE: Final = 0
THREE: Final = 1
TWIST: Final = 2
TWIST_3: Final = 3
PSI_X_AT: Final = 4
PSI_Y_AT: Final = 5
BETAS: Final = 6
ENTER: Final = 7
FROBENIUS: Final = 8


def constants(montgomery: int) -> list[tuple[int, int]]:
    """The table that every backend holds: elements of Fp2 at the places named above.

    montgomery: the backend's factor; a product with the one at ENTER brings an integer into its
    form. From FROBENIUS on: xi^(i (p^k - 1) / 6) for k = 1, 2, 3 and i = 1..5, at 5 (k - 1) + i -
    1.
    """
    table = [(1, 0), (B, 0), TWIST_B, fp2_scale(TWIST_B, 3), PSI_X, PSI_Y]
    table += [(BETA, BETA * BETA % P), (montgomery % P, 0)]
    table += [fp2_power(XI, i * (P**k - 1) // 6) for k in (1, 2, 3) for i in range(1, 6)]
    return table
