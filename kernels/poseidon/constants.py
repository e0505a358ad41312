"""Poseidon's constants for BN254, derived as the paper says rather than copied.

Round constants and the MDS matrix come from the Grain LFSR, seeded with the instance's parameters
(Grassi, Khovratovich, Rechberger, Roy, Schofnegger, "Poseidon: A New Hash Function for
Zero-Knowledge Proof Systems", USENIX Security 2021, appendix E, and its reference script
`generate_parameters_grain.sage`). circomlib's tables are made the same way, and a test compares.

In a partial round only the first element passes the S-box. Constants of the others therefore move
into the next round (the paper's appendix B), and all that the others do is linear: with the matrix
as [[m, v], [w, inner]], the first element after round n is o(n) = m·x(n) + v·h(n), where x(n) is
what left the S-box and h(n + 1) = w·x(n) + inner·h(n) are the others. By Cayley and Hamilton such a
system with t - 1 hidden values obeys a recurrence without them:

    o(n) = a(0) x(n) + … + a(t - 1) x(n - t + 1) - b(1) o(n - 1) - … - b(t - 1) o(n - t + 1),

b being the characteristic polynomial of `inner`. It is one sum of 2t - 1 products a round, reduced
once, with the same constants in all rounds; the paper's sparse matrices take as many products and
reduce t times. The hidden values come back at the end from the last t - 1 of both.
"""

from __future__ import annotations

from functools import cache
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from kernels.poseidon.field import LIMBS, ORDER, Limbs, to_montgomery

MIN_WIDTH, MAX_WIDTH = 2, 17
FULL_ROUNDS = 8
# Of widths 2 to 17, for 128 bits of security with x^5, as circomlib's poseidon.circom has them.
PARTIAL_ROUNDS = (56, 57, 56, 60, 60, 63, 64, 63, 60, 66, 60, 65, 70, 60, 64, 68)
FIELD_BITS = 254
GRAIN_BITS, GRAIN_TAPS, GRAIN_DISCARDED = 80, (62, 51, 38, 23, 13, 0), 160

Vector = list[int]
Matrix = list[Vector]


class Instance(NamedTuple):
    """A width's constants by definition: (rounds, t) round constants and the (t, t) matrix."""

    round_constants: Matrix
    mix: Matrix


class Parameters(NamedTuple):
    """A width's constants as the kernel takes them: residues in Montgomery form, (…, 4) limbs.

    full (8, t): constants added before each full round.
    mix (t, t): the matrix.
    premix (t, t): follows the last full round of the first half; gives the first element, then what
    the recurrence takes for o(-1), o(-2), … (with x(-1), x(-2), … zero).
    partial (p): added to the first element before each partial round.
    recurrence (2t - 1): multiplies x and o of the t - 1 rounds before, oldest first, then this x.
    postmix (t - 1, 2t - 2): multiplies x and o of the last t - 1 rounds; gives the other elements.
    """

    full: Limbs
    mix: Limbs
    premix: Limbs
    partial: Limbs
    recurrence: Limbs
    postmix: Limbs


def instance(width: int) -> Instance:
    """The constants of a width from 2 to 17, from their definition."""
    rounds = FULL_ROUNDS + partial_rounds(width)
    wanted = rounds * width
    # A candidate is below the order three times out of four.
    stream = _Grain(width, rounds, FIELD_BITS * (2 * wanted + 4 * width))
    constants: Vector = []
    while len(constants) < wanted:
        if (candidate := stream.take()) < ORDER:
            constants.append(candidate)
    return Instance(
        [constants[at : at + width] for at in range(0, wanted, width)], _cauchy(stream, width)
    )


@cache
def parameters(width: int) -> Parameters:
    """The constants of a width from 2 to 17, in the optimised form."""
    constants, mix = instance(width)
    rounds, half = partial_rounds(width), FULL_ROUNDS // 2
    first, partial = constants[:half], constants[half : half + rounds]
    last = [list(row) for row in constants[half + rounds :]]
    scalars, left = _forwarded(partial, mix)
    last[0] = _plus(last[0], left)
    linear = _linear(mix)
    premix = _product([[1] + [0] * (width - 1), *([0, *row] for row in linear.before)], mix)
    return Parameters(
        full=_limbs([*first, *last]),
        mix=_limbs(mix),
        premix=_limbs(premix),
        partial=to_montgomery(scalars),
        recurrence=to_montgomery(linear.recurrence),
        postmix=_limbs(linear.after),
    )


def partial_rounds(width: int) -> int:
    """How many partial rounds a width has."""
    assert MIN_WIDTH <= width <= MAX_WIDTH, "a width without constants"
    return PARTIAL_ROUNDS[width - MIN_WIDTH]


class _Grain:
    """The numbers that the Grain LFSR in self-shrinking mode yields for an instance."""

    def __init__(self, width: int, rounds: int, bits: int) -> None:
        """Make so many bits ready (on average: the self-shrinking takes what falls)."""
        skipped = GRAIN_BITS + GRAIN_DISCARDED
        raw = _lfsr(_seed(width, rounds), skipped + 4 * bits)[skipped:]
        pairs = raw[: len(raw) // 2 * 2].reshape(-1, 2)
        shrunk = pairs[pairs[:, 0] == 1, 1]
        self._bits = shrunk[: len(shrunk) // FIELD_BITS * FIELD_BITS].reshape(-1, FIELD_BITS)
        self._next = 0

    def take(self) -> int:
        """The next 254-bit number, most significant bit first."""
        row = self._bits[self._next]
        self._next += 1
        padded = np.concatenate([np.zeros(-FIELD_BITS % 8, np.uint8), row])
        return int.from_bytes(np.packbits(padded).tobytes(), "big")


def _seed(width: int, rounds: int) -> npt.NDArray[np.uint8]:
    """The LFSR's first state: prime field, S-box x^a, field size, width, rounds, thirty ones."""
    fields = [(1, 2), (0, 4), (FIELD_BITS, 12), (width, 12), (FULL_ROUNDS, 10)]
    fields += [(rounds - FULL_ROUNDS, 10), (2**30 - 1, 30)]
    text = "".join(f"{value:0{bits}b}" for value, bits in fields)
    return np.array([int(bit) for bit in text], np.uint8)


def _lfsr(seed: npt.NDArray[np.uint8], count: int) -> npt.NDArray[np.uint8]:
    """The first `count` bits of the sequence b[n + 80] = sum of b[n + tap].

    Squaring the feedback polynomial over GF(2) doubles each of its distances, so the sequence also
    obeys b[n + 80s] = sum of b[n + tap·s] for every power of two s: once 80s bits are known, the
    next 18s follow in one step.
    """
    bits, scale = seed, 1
    while len(bits) < count:
        while len(bits) >= 2 * scale * GRAIN_BITS:
            scale *= 2
        base, fresh = len(bits) - GRAIN_BITS * scale, (GRAIN_BITS - GRAIN_TAPS[0]) * scale
        slices = [bits[base + tap * scale :][:fresh] for tap in GRAIN_TAPS]
        bits = np.concatenate([bits, np.bitwise_xor.reduce(slices)])
    return bits[:count]


def _cauchy(stream: _Grain, width: int) -> Matrix:
    """1 / (x_i + y_j) of the stream's next numbers, as far as they are distinct and no sum is 0."""
    while True:
        numbers = [stream.take() % ORDER for _ in range(2 * width)]
        xs, ys = numbers[:width], numbers[width:]
        sums = [[(x + y) % ORDER for y in ys] for x in xs]
        if len(set(numbers)) == 2 * width and all(map(all, sums)):
            return [[pow(one, -1, ORDER) for one in row] for row in sums]


def _forwarded(partial: Matrix, mix: Matrix) -> tuple[Vector, Vector]:
    """What each partial round adds to the first element, and what the round after them adds.

    All but the first of a round's constants pass its S-box unchanged, so they may be added after
    it, multiplied by the matrix, to the next round's.
    """
    scalars: Vector = []
    carried = [0] * len(mix)
    for constants in partial:
        first, *rest = _plus(constants, carried)
        scalars.append(first)
        carried = _apply(mix, [0, *rest])
    return scalars, carried


class _Linear(NamedTuple):
    """What partial rounds do to the hidden values h, as the module says.

    before (t - 1, t - 1): o(-1), o(-2), … of the h(0), had all x before been zero.
    after (t - 1, 2t - 2): h(p) of the last x and o, interleaved, oldest first.
    """

    recurrence: Vector
    before: Matrix
    after: Matrix


def _linear(mix: Matrix) -> _Linear:
    size = len(mix) - 1
    corner, v, w = mix[0][0], mix[0][1:], [row[0] for row in mix[1:]]
    inner = [row[1:] for row in mix[1:]]
    seen = _krylov(_transposed(inner), v, size + 1)  # v·inner^k
    driven = _krylov(inner, w, size)  # inner^k·w
    echo = [_scalar(row, w) for row in seen[:size]]  # what x(n) adds to o(n + 1 + k)
    observed = _inverse(seen[:size])
    # The characteristic polynomial: v·inner^(t - 1) in terms of the powers below it.
    b = [1, *(-value % ORDER for value in reversed(_apply(_transposed(observed), seen[size])))]
    a = [
        (corner * b[j] + sum(b[j - 1 - k] * echo[k] for k in range(j))) % ORDER
        for j in range(size + 1)
    ]
    recurrence = [value for j in range(size, 0, -1) for value in (a[j], -b[j] % ORDER)]
    backwards = _krylov(_transposed(_inverse(inner)), v, size + 1)[1:]
    # h(n) of the o from there on, once what the x did to them is taken off; then on to h(p).
    from_o = _product(_power(inner, size), observed)
    direct = [[*reversed(echo[:i]), corner, *[0] * (size - 1 - i)] for i in range(size)]
    by_x = _product(from_o, direct)
    after = [
        [
            value
            for i in range(size)
            for value in ((driven[size - 1 - i][row] - by_x[row][i]) % ORDER, from_o[row][i])
        ]
        for row in range(size)
    ]
    return _Linear([*recurrence, a[0]], backwards, after)


def _krylov(matrix: Matrix, vector: Vector, count: int) -> Matrix:
    """The vector, the matrix times it, and so on."""
    found = [vector]
    while len(found) < count:
        found.append(_apply(matrix, found[-1]))
    return found


def _limbs(rows: Matrix) -> Limbs:
    flat = to_montgomery([value for row in rows for value in row])
    return flat.reshape(len(rows), -1, LIMBS)


def _plus(a: Vector, b: Vector) -> Vector:
    return [(x + y) % ORDER for x, y in zip(a, b, strict=True)]


def _scalar(a: Vector, b: Vector) -> int:
    return sum(x * y for x, y in zip(a, b, strict=True)) % ORDER


def _apply(matrix: Matrix, vector: Vector) -> Vector:
    return [_scalar(row, vector) for row in matrix]


def _transposed(matrix: Matrix) -> Matrix:
    return [list(column) for column in zip(*matrix, strict=True)]


def _product(a: Matrix, b: Matrix) -> Matrix:
    return _transposed([_apply(a, column) for column in _transposed(b)])


def _power(matrix: Matrix, exponent: int) -> Matrix:
    """The matrix to a power of at least 1."""
    if exponent == 1:
        return matrix
    root = _power(matrix, exponent // 2)
    square = _product(root, root)
    return _product(square, matrix) if exponent % 2 else square


def _inverse(matrix: Matrix) -> Matrix:
    """By Gauss and Jordan; every square submatrix of a Cauchy matrix has an inverse."""
    size = len(matrix)
    rows = [[*row, *(int(i == j) for j in range(size))] for i, row in enumerate(matrix)]
    for at in range(size):
        pivot = next(i for i in range(at, size) if rows[i][at])
        rows[at], rows[pivot] = rows[pivot], rows[at]
        scale = pow(rows[at][at], -1, ORDER)
        rows[at] = [value * scale % ORDER for value in rows[at]]
        for i in range(size):
            if i != at and (factor := rows[i][at]):
                pairs = zip(rows[i], rows[at], strict=True)
                rows[i] = [(value - factor * other) % ORDER for value, other in pairs]
    return [row[size:] for row in rows]
