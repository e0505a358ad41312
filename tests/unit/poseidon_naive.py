"""Poseidon and its constants by definition, in plain integers: bit by bit, round by round."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cache
from itertools import islice

R = 21888242871839275222246405745257275088548364400416034343698204186575808495617
FULL = 8
PARTIAL = [56, 57, 56, 60, 60, 63, 64, 63, 60, 66, 60, 65, 70, 60, 64, 68]  # of widths 2 to 17


def lfsr(width: int) -> Iterator[int]:
    """The Grain LFSR's bits after its 80 of state and 160 that are thrown away."""
    state = [0, 1, *bits(0, 4), *bits(254, 12), *bits(width, 12), *bits(FULL, 10)]
    state += [*bits(PARTIAL[width - 2], 10), *[1] * 30]
    drawn = 0
    while True:
        new = state[62] ^ state[51] ^ state[38] ^ state[23] ^ state[13] ^ state[0]
        state = [*state[1:], new]
        drawn += 1
        if drawn > 160:
            yield new


def bits(value: int, count: int) -> list[int]:
    return [value >> at & 1 for at in reversed(range(count))]


def shrunk(stream: Iterator[int]) -> Iterator[int]:
    """Of each pair of bits the second, if the first is 1."""
    for first, second in zip(stream, stream, strict=False):
        if first:
            yield second


def numbers(stream: Iterator[int]) -> Iterator[int]:
    while True:
        yield int("".join(map(str, islice(stream, 254))), 2)


@cache
def constants(width: int) -> tuple[list[int], list[list[int]]]:
    """(all round constants in order, the matrix)."""
    drawn = numbers(shrunk(lfsr(width)))
    rounds = (FULL + PARTIAL[width - 2]) * width
    kept = list(islice((number for number in drawn if number < R), rounds))
    while True:
        found = [number % R for number in islice(drawn, 2 * width)]
        xs, ys = found[:width], found[width:]
        if len(set(found)) == len(found) and all((x + y) % R for x in xs for y in ys):
            return kept, [[pow(x + y, -1, R) for y in ys] for x in xs]


def poseidon(inputs: Sequence[int]) -> int:
    """The hash of 1 to 16 field elements."""
    width = len(inputs) + 1
    added, matrix = constants(width)
    partial = PARTIAL[width - 2]
    state = [0, *inputs]
    for turn in range(FULL + partial):
        state = [s + c for s, c in zip(state, added[turn * width :], strict=False)]
        is_full = not FULL // 2 <= turn < FULL // 2 + partial
        state = [pow(s, 5, R) if is_full or i == 0 else s for i, s in enumerate(state)]
        state = [sum(m * s for m, s in zip(row, state, strict=True)) % R for row in matrix]
    return state[0]
