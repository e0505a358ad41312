"""Elements between the backends: from the words of one at a time into a lane of eight, and back."""

from __future__ import annotations

from typing import Final

import numpy as np

from kernels.bn254.integers import P
from kernels.bn254.lanes import E1, encode, fp_mul, kernel
from kernels.bn254.lanes_values import LANES, MONTGOMERY
from kernels.bn254.llvm import load, store, table
from kernels.bn254.scalar import E1 as SCALAR_E1
from kernels.bn254.scalar_values import MONTGOMERY as SCALAR_MONTGOMERY
from kernels.bn254.words import subtract_p

SCALAR: Final = SCALAR_E1
# Bytes of anything in lanes for each byte of the same in the other backend: layouts are alike.
GROWTH: Final = E1 // SCALAR
MASK_52 = np.uint64((1 << 52) - 1)

# Between the Montgomery forms of the backends: a 2^256 read as an integer, times 2^264, and back.
_RATIO = MONTGOMERY * pow(SCALAR_MONTGOMERY, -1, P) % P
ratio_address = table(
    "bn254_lanes_ratio",
    [
        word
        for value in (_RATIO, pow(_RATIO, -1, P))
        for limb in encode(value)
        for word in [limb] * LANES
    ],
)


@kernel
def gather(d: int, lane: int, source: int) -> None:
    """Put an element of the other backend into one lane, its form still the other's."""
    w0, w1 = load(source), load(source + 8)
    w2, w3 = load(source + 16), load(source + 24)
    place = d + 8 * lane
    store(place, w0 & MASK_52)
    store(place + 64, (w0 >> np.uint64(52) | w1 << np.uint64(12)) & MASK_52)
    store(place + 128, (w1 >> np.uint64(40) | w2 << np.uint64(24)) & MASK_52)
    store(place + 192, (w2 >> np.uint64(28) | w3 << np.uint64(36)) & MASK_52)
    store(place + 256, w3 >> np.uint64(16))


@kernel
def scatter(d: int, source: int, lane: int) -> None:
    """One lane of a product, below 2p, as words below p."""
    place = source + 8 * lane
    l0, l1, l2 = load(place), load(place + 64), load(place + 128)
    l3, l4 = load(place + 192), load(place + 256)
    store(d, l0 | l1 << np.uint64(52))
    store(d + 8, l1 >> np.uint64(12) | l2 << np.uint64(40))
    store(d + 16, l2 >> np.uint64(24) | l3 << np.uint64(28))
    store(d + 24, l3 >> np.uint64(36) | l4 << np.uint64(16))
    subtract_p(d)


@kernel
def to_lanes_form(a: int, count: int) -> None:
    """Elements that were gathered, into this backend's form."""
    for i in range(count):
        fp_mul(a + i * E1, a + i * E1, ratio_address())


@kernel
def to_scalar_form(a: int, count: int) -> None:
    """Elements into the other backend's form, products that may be scattered."""
    for i in range(count):
        fp_mul(a + i * E1, a + i * E1, ratio_address() + E1)


@kernel
def spread(d: int, source: int, count: int) -> None:
    """Elements of the other backend, each into all lanes, in this backend's form."""
    for i in range(count):
        for lane in range(LANES):
            gather(d + i * E1, lane, source + i * SCALAR)
    to_lanes_form(d, count)
