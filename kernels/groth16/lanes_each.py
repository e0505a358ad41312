"""A verdict for each proof on an equation of its own, eight proofs at a time.

As `single.verify_one`, in lanes: e(A, B) e(-alpha, beta) e(-L, gamma) e(-C, delta) = 1. Nothing is
weighted or shared but the key, so a verdict hangs on its own proof alone. What is rare is left to
`verify_one`: sums that meet an exception of the incomplete additions, and a proof without company.

The key's block is the one of `key`, each element in all lanes: see `spread`.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from kernels.bn254.fixed_base import SCALAR_BITS
from kernels.bn254.lanes import E1, E2, fp_copy, fp_mul, fp_neg, fp_select, kernel, table_address
from kernels.bn254.lanes_exchange import (
    GROWTH,
    SCALAR,
    gather,
    scatter,
    to_lanes_form,
    to_scalar_form,
)
from kernels.bn254.lanes_values import LANES
from kernels.bn254.llvm import load, noinline, stack, store
from kernels.bn254.parameters import ONE
from kernels.bn254.scalar_values import LIMBS
from kernels.bn254.tower.fp12 import E12 as SCALAR_12
from kernels.bn254.tower.g1 import AFFINE as SCALAR_AFFINE
from kernels.bn254.tower.miller import FIXED_LINES
from kernels.bn254.tower.miller import PAIR as SCALAR_PAIR
from kernels.bn254.words import INTEGER, below_r, is_one, is_zero
from kernels.groth16 import key as layout
from kernels.groth16.batch import Places
from kernels.groth16.lanes import (
    AFFINE,
    E12,
    JACOBIAN,
    PAIR,
    fp_inv,
    g1_add_affine,
    miller,
    outside_subgroup,
    place_of,
    tower,
)
from kernels.groth16.single import (
    INPUT,
    OUTSIDE_SUBGROUP,
    PAIRING,
    PROOF,
    VALID,
    enter_proof,
    screen,
)

f12_mul = tower["fp12"].f12_mul
final_exponentiation = tower["final"].final_exponentiation

# Not a place in VERDICTS: the proof is still to be verified alone.
UNDECIDED: Final = -1
# Fewer proofs than this cost less one by one.
COMPANY: Final = 2

ALPHA_BETA = GROWTH * layout.ALPHA_BETA
IC_0 = GROWTH * layout.IC_0
LINES = GROWTH * layout.LINES
# Of the key's lines, delta's and gamma's.
SCALAR_BLOCK: Final = layout.LINES + 2 * FIXED_LINES
BLOCK: Final = GROWTH * SCALAR_BLOCK

FIXED_POINT = tower["miller"].FIXED_POINT
TWO_FIXED_POINTS = 2 * FIXED_POINT
# What a group keeps of its proofs: the record of the Miller loop, then C.
C = PAIR
GROUP = PAIR + AFFINE
SCALAR_C = SCALAR_PAIR
SCALAR_GROUP = SCALAR_PAIR + SCALAR_AFFINE


@kernel
def _admit(proof: int, inputs: int, count: int, entered: int) -> int:
    """Check a proof as far as its own numbers go and bring A, B and C into the field."""
    if not below_r(inputs, count):
        return INPUT
    code = screen(proof)
    return enter_proof(entered, entered + SCALAR_C, proof) if code == VALID else code


@kernel
def _fill(group: int, places: int, entered: int, lane: int, place: int) -> None:
    """Put a proof into a lane, and into those above it: so the lanes left over hold the last
    one."""
    for each in range(lane, LANES):
        store(places + 8 * each, np.uint64(place))
        for i in range(6):
            gather(group + i * E1, each, entered + i * SCALAR)
        for i in range(2):
            gather(group + C + i * E1, each, entered + SCALAR_C + i * SCALAR)


@kernel
def _inputs_sum(t: int, places: int, inputs: int, count: int, tables: int, bits: int) -> None:
    """t = t + the sum of each lane's inputs times the key's points: `fixed_base_sum`, where a
    doubling or cancellation on the way leaves Z = 0 at the end."""
    noinline()
    point, added, mask = stack(AFFINE), stack(JACOBIAN), stack(64)
    digits = (1 << bits) - 1
    windows, in_word = SCALAR_BITS // bits, 64 // bits
    for k in range(count * windows):
        row = tables + k * digits * SCALAR_AFFINE
        in_input = k // windows * INTEGER + k % windows // in_word * 8
        union: Any = 0
        for lane in range(LANES):
            word = load(inputs + place_of(places, lane) * count * INTEGER + in_input)
            digit: Any = np.int64(word >> np.uint64(k % in_word * bits)) & digits
            union |= digit
            store(mask + 8 * lane, ~np.uint64(0) if digit != 0 else np.uint64(0))
            source = row + max(digit - 1, 0) * SCALAR_AFFINE
            gather(point, lane, source)
            gather(point + E1, lane, source + SCALAR)
        if union != 0:
            to_lanes_form(point, 2)
            g1_add_affine(added, t, point)
            for i in range(3):
                fp_select(t + i * E1, added + i * E1, t + i * E1, mask)


@kernel
def _fixed_points(points: int, c: int, t: int) -> None:
    """(x / y, 1 / y) of the negatives of C, affine, and of L, Jacobian, by one inversion: as
    `negated_points`."""
    inverse, s = stack(E1), stack(E1)
    fp_mul(inverse, c + E1, t + E1)
    fp_inv(inverse, inverse)
    fp_neg(inverse, inverse)
    fp_mul(points + E1, inverse, t + E1)
    fp_mul(points, points + E1, c)
    point_l = points + FIXED_POINT
    fp_mul(s, inverse, c + E1)
    fp_mul(s, s, t + 2 * E1)
    fp_mul(point_l, s, t)
    fp_mul(s, s, t + 2 * E1)
    fp_mul(point_l + E1, s, t + 2 * E1)


@kernel
def _decide(codes: Places, places: int, size: int, group: int, t: int, block: int) -> None:
    """The verdicts of a group's first lanes; t: L, with Z = 0 where it is not known."""
    noinline()
    f, points, part = stack(E12), stack(TWO_FIXED_POINTS), stack(SCALAR_12)
    _fixed_points(points, group + C, t)
    miller(f, group, 1, block + LINES, points, 2)
    outside = outside_subgroup(group, size)
    f12_mul(f, f, block + ALPHA_BETA)
    final_exponentiation(f, f)
    to_scalar_form(f, 12)
    to_scalar_form(t + 2 * E1, 1)
    for lane in range(size):
        scatter(part, t + 2 * E1, lane)
        is_known = not is_zero(part, LIMBS)
        for i in range(12):
            scatter(part + i * SCALAR, f + i * E1, lane)
        code = VALID if is_one(part) else PAIRING
        if outside >> lane & 1:
            code = OUTSIDE_SUBGROUP
        codes[place_of(places, lane)] = code if is_known else UNDECIDED


@kernel
def verify_lanes(
    codes: Places,
    chosen: Places,
    proofs: int,
    inputs: int,
    count: int,
    block: int,
    tables: int,
    bits: int,
) -> None:
    """Give each chosen proof its place in VERDICTS, as `verify_one` would, or UNDECIDED.

    block: the key's, spread, aligned; other memory is as in `single`, a row a proof.
    """
    noinline()
    group, places, t = stack(GROUP), stack(64), stack(JACOBIAN)
    entered = stack(SCALAR_GROUP)
    size = 0
    for i in range(len(chosen)):
        place = chosen[i]
        code = _admit(proofs + place * PROOF, inputs + place * count * INTEGER, count, entered)
        codes[place] = UNDECIDED if code == VALID else code
        if code == VALID:
            _fill(group, places, entered, size, place)
            size += 1
        is_last = i == len(chosen) - 1
        if size == LANES or (is_last and size >= COMPANY):
            to_lanes_form(group, 6)
            to_lanes_form(group + C, 2)
            fp_copy(t, block + IC_0)
            fp_copy(t + E1, block + IC_0 + E1)
            fp_copy(t + 2 * E1, table_address() + ONE * E2)
            _inputs_sum(t, places, inputs, count, tables, bits)
            _decide(codes, places, size, group, t, block)
            size = 0
