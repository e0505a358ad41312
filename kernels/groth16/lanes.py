"""The parts of a batch that are per proof, eight proofs at a time: weighting A, and the Miller
loops.

Memory at the edges is the one-at-a-time backend's, so either backend may do either part. A group
that is not full repeats its first proof in the lanes left over, and their results are not read.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from kernels.bn254.lanes import (
    E1,
    E2,
    fp_copy,
    fp_mul,
    fp_select,
    fp_sqr,
    kernel,
    table_address,
)
from kernels.bn254.lanes_exchange import SCALAR, gather, scatter, to_lanes_form, to_scalar_form
from kernels.bn254.lanes_values import LANES
from kernels.bn254.llvm import load, noinline, stack, store
from kernels.bn254.parameters import BETAS, ONE
from kernels.bn254.scalar import E2 as SCALAR_2
from kernels.bn254.specialise import specialise
from kernels.bn254.tower.fp12 import E12 as SCALAR_12
from kernels.bn254.tower.fp12 import f12_mul, f12_one
from kernels.bn254.words import is_zero
from kernels.groth16.batch import KEPT, PLANES_BYTES, Places
from kernels.groth16.single import OUTSIDE_SUBGROUP
from kernels.groth16.weights import DIGITS, PLANES, digit

tower = specialise("kernels.bn254.lanes", "kernels.bn254.tower_lanes")
fp_inv = tower["fp2"].fp_inv
g1_add_affine = tower["g1"].g1_add_affine
g1_double = tower["g1"].g1_double
miller = tower["miller"].miller
subgroup_residual = tower["miller"].subgroup_residual

AFFINE = tower["g1"].AFFINE
JACOBIAN = tower["g1"].JACOBIAN
PAIR = tower["miller"].PAIR
E12 = tower["fp12"].E12
RESIDUAL = 3 * E2
SCALAR_6 = 6 * SCALAR
MASKS = PLANES * 8 * LANES
WORK: Final = JACOBIAN + E1
# Groups whose Miller loops share their squarings: 64 proofs, in the second cache.
CHUNK: Final = 8
CHUNK_BYTES = CHUNK * PAIR


@kernel
def place_of(places: int, lane: int) -> Any:
    """Which proof is in a lane."""
    return np.int64(load(places + 8 * lane))


@kernel
def _digit_masks(masks: int, places: int, planes: int, k: int) -> None:
    """For digit k of each lane's weight: masks of not 0, of w, of w^2."""
    for lane in range(LANES):
        which = digit(planes + place_of(places, lane) * PLANES_BYTES, k)
        for i in range(PLANES):
            chosen = which != 0 if i == 0 else which == i + 1
            store(masks + i * 64 + 8 * lane, ~np.uint64(0) if chosen else np.uint64(0))


@kernel
def _image(d: int, xs: int, masks: int) -> None:
    """The x coordinates of each lane's image: xs holds x, beta x, beta^2 x."""
    fp_select(d, xs + E1, xs, masks + 64)
    fp_select(d, xs + 2 * E1, d, masks + 128)


@kernel
def _weighted(t: int, p: int, places: int, planes: int) -> None:
    """t = each lane's weight times its point, as `weights.weighted`."""
    noinline()
    masks, xs = stack(MASKS), stack(JACOBIAN)
    image, added = stack(AFFINE), stack(JACOBIAN)
    betas = table_address() + BETAS * E2
    fp_copy(xs, p)
    fp_mul(xs + E1, p, betas)
    fp_mul(xs + 2 * E1, p, betas + E1)
    fp_copy(image + E1, p + E1)
    _digit_masks(masks, places, planes, DIGITS - 1)
    _image(t, xs, masks)
    fp_copy(t + E1, p + E1)
    fp_copy(t + 2 * E1, table_address() + ONE * E2)
    for k in range(DIGITS - 2, -1, -1):
        g1_double(t)
        _digit_masks(masks, places, planes, k)
        _image(image, xs, masks)
        g1_add_affine(added, t, image)
        for i in range(3):
            fp_select(t + i * E1, added + i * E1, t + i * E1, masks)


@kernel
def _group(places: int, chosen: Places, start: int) -> int:
    """The places of up to eight proofs, the first one's repeated; how many there are."""
    size = min(LANES, len(chosen) - start)
    for lane in range(LANES):
        store(places + 8 * lane, np.uint64(chosen[start + (lane if lane < size else 0)]))
    return size


@kernel
def weight_batch(chosen: Places, kept: int, planes: int, work: int) -> None:
    """A_i = r_i A_i for the chosen proofs, affine. work: WORK bytes a group, aligned."""
    noinline()
    places, p = stack(64), stack(AFFINE)
    inverse, z = stack(E1), stack(E1)
    groups = (len(chosen) + LANES - 1) // LANES
    products = work + groups * JACOBIAN
    for group in range(groups):
        _group(places, chosen, group * LANES)
        for lane in range(LANES):
            source = kept + place_of(places, lane) * KEPT
            for i in range(2):
                gather(p + i * E1, lane, source + i * SCALAR)
        to_lanes_form(p, 2)
        t = work + group * JACOBIAN
        _weighted(t, p, places, planes)
        if group == 0:
            fp_copy(products, t + 2 * E1)
        else:
            fp_mul(products + group * E1, products + (group - 1) * E1, t + 2 * E1)
    fp_inv(inverse, products + (groups - 1) * E1)
    for group in range(groups - 1, -1, -1):
        t = work + group * JACOBIAN
        fp_copy(z, inverse)
        if group > 0:
            fp_mul(z, inverse, products + (group - 1) * E1)
            fp_mul(inverse, inverse, t + 2 * E1)
        _affine(p, t, z)
        size = _group(places, chosen, group * LANES)
        for lane in range(size):
            target = kept + place_of(places, lane) * KEPT
            for i in range(2):
                scatter(target + i * SCALAR, p + i * E1, lane)


@kernel
def _affine(p: int, t: int, z: int) -> None:
    """p = t with Z divided out, in the other backend's form; z: 1 / Z."""
    s = stack(E1)
    fp_sqr(s, z)
    fp_mul(p, t, s)
    fp_mul(s, s, z)
    fp_mul(p + E1, t + E1, s)
    to_scalar_form(p, 2)


@kernel
def multiply_moving(f: int, chosen: Places, kept: int, codes: Places) -> bool:
    """As `batch.multiply_moving`: f the product over the chosen proofs, codes for a B outside."""
    noinline()
    pairs, value, places = stack(CHUNK_BYTES), stack(E12), stack(64)
    inside = True
    f12_one(f)
    start = 0
    while start < len(chosen):
        groups = min(CHUNK, (len(chosen) - start) // LANES)
        size = LANES
        if groups == 0:
            # The last group, not full, is multiplied on its own: only its lanes count.
            groups, size = 1, len(chosen) - start
        for group in range(groups):
            _group(places, chosen, start + group * LANES)
            for lane in range(LANES):
                source = kept + place_of(places, lane) * KEPT
                for i in range(6):
                    gather(pairs + group * PAIR + i * E1, lane, source + i * SCALAR)
            to_lanes_form(pairs + group * PAIR, 6)
        miller(value, pairs, groups, 0, 0, 0)
        _multiply_lanes(f, value, size)
        for group in range(groups):
            first = start + group * LANES
            outside = outside_subgroup(pairs + group * PAIR, size)
            for lane in range(size):
                if outside >> lane & 1:
                    codes[chosen[first + lane]] = OUTSIDE_SUBGROUP
                    inside = False
        start += (groups - 1) * LANES + size
    return inside


@kernel
def _multiply_lanes(f: int, value: int, size: int) -> None:
    """f times the elements of Fp12 in the first lanes."""
    part = stack(SCALAR_12)
    to_scalar_form(value, 12)
    for lane in range(size):
        for i in range(12):
            scatter(part + i * SCALAR, value + i * E1, lane)
        f12_mul(f, f, part)


@kernel
def outside_subgroup(pair: int, size: int) -> int:
    """After the loop: a bit for each lane whose Q is outside the subgroup."""
    residual, part = stack(RESIDUAL), stack(SCALAR_6)
    subgroup_residual(residual, pair)
    to_scalar_form(residual, 6)
    outside = 0
    for lane in range(size):
        for i in range(6):
            scatter(part + i * SCALAR, residual + i * E1, lane)
        if not is_zero(part, 16) or is_zero(part + 2 * SCALAR_2, 8):
            outside |= 1 << lane
    return outside
