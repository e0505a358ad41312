"""The Poseidon permutation and hash over arrays of field elements."""

from __future__ import annotations

import numpy as np

from kernels.compile import njit
from kernels.poseidon.constants import Parameters
from kernels.poseidon.field import (
    LIMBS,
    MONTGOMERY_SQUARED,
    ZERO_ELEMENT,
    Limbs,
    add,
    dot,
    fifth_power,
    load,
    multiply,
    store,
    to_plain,
)


@njit()
def _full_round(state: Limbs, scratch: Limbs, constants: Limbs, matrix: Limbs) -> None:
    width = state.shape[0]
    for row in range(width):
        store(state, row, fifth_power(add(load(state, row), load(constants, row))))
    for row in range(width):
        store(scratch, row, dot(state, matrix[row]))
    for row in range(width):
        store(state, row, load(scratch, row))


@njit()
def _partial_rounds(state: Limbs, parameters: Parameters) -> None:
    """Each round takes 2t - 1 products where the dense matrix would take t²."""
    for turn in range(parameters.partial.shape[0]):
        first = fifth_power(add(load(state, 0), load(parameters.partial, turn)))
        store(state, 0, first)
        mixed = dot(state, parameters.row[turn])
        column = parameters.column[turn]
        for row in range(column.shape[0]):
            product = multiply(first, load(column, row))
            store(state, row + 1, add(load(state, row + 1), product))
        store(state, 0, mixed)


@njit()
def _permute(state: Limbs, scratch: Limbs, parameters: Parameters) -> None:
    """Permute a (t, 4) state in Montgomery form in place; `scratch` has its shape."""
    half = parameters.full.shape[0] // 2
    for turn in range(half - 1):
        _full_round(state, scratch, parameters.full[turn], parameters.mix)
    _full_round(state, scratch, parameters.full[half - 1], parameters.premix)
    _partial_rounds(state, parameters)
    for turn in range(half, 2 * half):
        _full_round(state, scratch, parameters.full[turn], parameters.mix)


@njit()
def hash_row(result: Limbs, inputs: Limbs, scratch: Limbs, parameters: Parameters) -> None:
    """Put the hash of (k, 4) inputs into the (4,) result, which may be one of them.

    Plain residues; scratch: (2, k + 1, 4). Other kernels call this one.
    """
    state = scratch[0]
    store(state, 0, ZERO_ELEMENT)
    for at in range(inputs.shape[0]):
        store(state, at + 1, multiply(load(inputs, at), MONTGOMERY_SQUARED))
    _permute(state, scratch[1], parameters)
    result[0], result[1], result[2], result[3] = to_plain(load(state, 0))


@njit()
def _hash_rows(rows: Limbs, scratch: Limbs, hashes: Limbs, parameters: Parameters) -> None:
    for row in range(rows.shape[0]):
        hash_row(hashes[row], rows[row], scratch, parameters)


def hash_rows(rows: Limbs, parameters: Parameters) -> Limbs:
    """The (n, 4) hashes of (n, k, 4) rows of k inputs, with the parameters of width t = k + 1.

    Plain residues below r in and out. The state begins with 0 and the inputs, and its first
    element at the end is the hash, as in circomlib. O(n·(full rounds·t² + partial rounds·t)).
    """
    count, inputs, limbs = rows.shape
    assert limbs == LIMBS, "elements are four limbs"
    assert inputs + 1 == parameters.mix.shape[0], "the parameters are of another width"
    hashes = np.empty((count, LIMBS), np.uint64)
    scratch = np.empty((2, inputs + 1, LIMBS), np.uint64)
    _hash_rows(np.ascontiguousarray(rows), scratch, hashes, parameters)
    return hashes
