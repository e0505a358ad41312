"""Random weights of a batch, as digits that cost little on G1.

A weight is 128 random bits: 64 digits, each of 0, 1, w, w^2 for the cube root of unity w (the
endomorphism phi). Digit k's bits are bit k of the weight's two words. Different digits give
different weights (a base 2 expansion in Z[w] with a whole set of residues), the top digit is made 1
where it is 0, and so an equation that is wrong passes with probability below 2^-125 (Bellare,
Garay, Rabin, "Fast batch verification for modular exponentiation and digital signatures", EUROCRYPT
1998).
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from kernels.bn254.fixed_base import g1_from_affine
from kernels.bn254.integers import R
from kernels.bn254.llvm import load, noinline, store
from kernels.bn254.parameters import BETAS, LAMBDA
from kernels.bn254.scalar import E1, E2, fp_copy, fp_mul, kernel, table_address
from kernels.bn254.tower.g1 import AFFINE, g1_add_affine, g1_double

WEIGHT: Final = 16
DIGITS: Final = 64
TOTAL: Final = 48
# The powers of w that a digit may be, and the three images of a point.
PLANES: Final = 3
IMAGES: Final = PLANES * AFFINE


@kernel
def digit_planes(planes: int, weight: int) -> None:
    """Three words: where the digits are 1, w, w^2."""
    low, high = load(weight), load(weight + 8)
    low |= ~(low | high) & np.uint64(1 << 63)
    store(planes, low & ~high)
    store(planes + 8, high & ~low)
    store(planes + 16, low & high)


@kernel
def digit(planes: int, k: int) -> int:
    """Digit k: 0, or i for w^(i - 1)."""
    place = np.uint64(k)
    for i in range(PLANES):
        if (load(planes + 8 * i) >> place) & np.uint64(1) != 0:
            return i + 1
    return 0


@kernel
def images(d: int, p: int) -> None:
    """The affine points p, phi(p), phi^2(p) = (x, y), (beta x, y), (beta^2 x, y)."""
    betas = table_address() + BETAS * E2
    for i in range(PLANES):
        fp_copy(d + i * AFFINE + E1, p + E1)
    fp_copy(d, p)
    fp_mul(d + AFFINE, p, betas)
    fp_mul(d + 2 * AFFINE, p, betas + E1)


@kernel
def weighted(t: int, three: int, planes: int) -> None:
    """t = the weight times a point, given by its images; 63 doublings, about 48 additions.

    The incomplete addition suffices: twice a prefix of digits is no unit of Z[w], and its norm is
    below r, so the running point is never the one added or its negative.
    """
    noinline()
    g1_from_affine(t, three + (digit(planes, DIGITS - 1) - 1) * AFFINE)
    for k in range(DIGITS - 2, -1, -1):
        g1_double(t)
        which = digit(planes, k)
        if which != 0:
            g1_add_affine(t, t, three + (which - 1) * AFFINE)


def weighted_sums(totals: np.ndarray[Any, np.dtype[np.uint64]]) -> list[int]:
    """Rows of PLANES integers of 48 bytes: sum + LAMBDA sum_w + LAMBDA^2 sum_w^2 modulo r each."""
    content = totals.tobytes()
    integers = [
        int.from_bytes(content[at : at + TOTAL], "little") for at in range(0, len(content), TOTAL)
    ]
    rows = zip(integers[::PLANES], integers[1::PLANES], integers[2::PLANES], strict=True)
    return [(one + LAMBDA * (w + LAMBDA * w_2)) % R for one, w, w_2 in rows]
