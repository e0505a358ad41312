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
def _partial_rounds(state: Limbs, history: Limbs, parameters: Parameters) -> None:
    """All of them, by the recurrence that `constants` explains.

    history: (2(t - 1 + p), 4): what left the S-box and the first element after it, round by round,
    from t - 1 rounds before the first on.
    """
    hidden = state.shape[0] - 1
    rounds = parameters.partial.shape[0]
    for row in range(hidden):
        store(history, 2 * row, ZERO_ELEMENT)
        store(history, 2 * row + 1, load(state, hidden - row))
    current = load(state, 0)
    for turn in range(rounds):
        now = 2 * (hidden + turn)
        store(history, now, fifth_power(add(current, load(parameters.partial, turn))))
        current = dot(history[2 * turn : now + 1], parameters.recurrence)
        store(history, now + 1, current)
    store(state, 0, current)
    for row in range(hidden):
        store(state, row + 1, dot(history[2 * rounds :], parameters.postmix[row]))


@njit()
def _permute(state: Limbs, scratch: Limbs, history: Limbs, parameters: Parameters) -> None:
    """Permute a (t, 4) state in Montgomery form in place; `scratch` has its shape."""
    half = parameters.full.shape[0] // 2
    for turn in range(half - 1):
        _full_round(state, scratch, parameters.full[turn], parameters.mix)
    _full_round(state, scratch, parameters.full[half - 1], parameters.premix)
    _partial_rounds(state, history, parameters)
    for turn in range(half, 2 * half):
        _full_round(state, scratch, parameters.full[turn], parameters.mix)


@njit()
def hash_row(result: Limbs, inputs: Limbs, scratch: Limbs, parameters: Parameters) -> None:
    """Put the hash of (k, 4) inputs into the (4,) result, which may be one of them.

    Plain residues; scratch: as `make_scratch` makes it. Other kernels call this one.
    """
    width = inputs.shape[0] + 1
    state, mixed, history = scratch[:width], scratch[width : 2 * width], scratch[2 * width :]
    store(state, 0, ZERO_ELEMENT)
    for at in range(inputs.shape[0]):
        store(state, at + 1, multiply(load(inputs, at), MONTGOMERY_SQUARED))
    _permute(state, mixed, history, parameters)
    result[0], result[1], result[2], result[3] = to_plain(load(state, 0))


@njit()
def _hash_rows(rows: Limbs, scratch: Limbs, hashes: Limbs, parameters: Parameters) -> None:
    for row in range(rows.shape[0]):
        hash_row(hashes[row], rows[row], scratch, parameters)


def make_scratch(parameters: Parameters) -> Limbs:
    """Room for a state, another, and the partial rounds' history."""
    width, rounds = len(parameters.mix), len(parameters.partial)
    return np.empty((2 * width + 2 * (width - 1 + rounds), LIMBS), np.uint64)


def hash_rows(rows: Limbs, parameters: Parameters) -> Limbs:
    """The (n, 4) hashes of (n, k, 4) rows of k inputs, with the parameters of width t = k + 1.

    Plain residues below r in and out. The state begins with 0 and the inputs, and its first
    element at the end is the hash, as in circomlib. O(n·(full rounds·t² + partial rounds·t)).
    """
    count, inputs, limbs = rows.shape
    assert limbs == LIMBS, "elements are four limbs"
    assert inputs + 1 == parameters.mix.shape[0], "the parameters are of another width"
    hashes = np.empty((count, LIMBS), np.uint64)
    _hash_rows(np.ascontiguousarray(rows), make_scratch(parameters), hashes, parameters)
    return hashes
