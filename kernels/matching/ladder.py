"""The best level of a side, by a tree of bits: at most three words each way.

A side's words lie together: one that says which second-level words are not zero, those, and the
first-level words with a bit for each price. Prices run from 0 to width - 1; 0 is never used.
"""

from __future__ import annotations

import numpy as np

from kernels.compile import inner
from kernels.matching.layout import TREE, WIDTH, State
from kernels.matching.words import leading_zeros, ref, trailing_zeros

ONE, ZERO, ALL = np.uint64(1), np.uint64(0), np.uint64((1 << 64) - 1)


@inner(forceinline=True)
def _bit(at: int) -> np.uint64:
    return ONE << np.uint64(at & 63)


@inner(forceinline=True)
def _from(at: int) -> np.uint64:
    """The bits at and above a place of a word."""
    return ALL << np.uint64(at & 63)


@inner(forceinline=True)
def _to(at: int) -> np.uint64:
    """The bits at and below a place of a word."""
    return ALL >> np.uint64(63 - (at & 63))


@inner(forceinline=True)
def set_price(state: State, side_row: int, price: int) -> None:
    """Say that the price has orders."""
    top = side_row * state.meta[TREE]
    middle, bottom = top + 1, top + 1 + max(1, state.meta[WIDTH] >> 12)
    word = ref(state.bits, bottom + (price >> 6))
    state.bits[bottom + (price >> 6)] = word | _bit(price)
    if word == ZERO:
        state.bits[middle + (price >> 12)] |= _bit(price >> 6)
        state.bits[top] |= _bit(price >> 12)


@inner(forceinline=True)
def clear_price(state: State, side_row: int, price: int) -> None:
    """Say that the price has none."""
    top = side_row * state.meta[TREE]
    middle, bottom = top + 1, top + 1 + max(1, state.meta[WIDTH] >> 12)
    word = ref(state.bits, bottom + (price >> 6)) & ~_bit(price)
    state.bits[bottom + (price >> 6)] = word
    if word == ZERO:
        word = ref(state.bits, middle + (price >> 12)) & ~_bit(price >> 6)
        state.bits[middle + (price >> 12)] = word
        if word == ZERO:
            state.bits[top] &= ~_bit(price >> 12)


@inner()
def above(state: State, side_row: int, price: int) -> int:
    """The lowest price with orders at or above this one, or the width."""
    width = state.meta[WIDTH]
    if price >= width:
        return width
    top = side_row * state.meta[TREE]
    middle, bottom = top + 1, top + 1 + max(1, width >> 12)
    word = ref(state.bits, bottom + (price >> 6)) & _from(price)
    if word != ZERO:
        return (price & ~63) + trailing_zeros(word)
    at = (price >> 6) + 1
    if at >= width >> 6:
        return width
    word = ref(state.bits, middle + (at >> 6)) & _from(at)
    if word == ZERO:
        group = (at >> 6) + 1
        word = ref(state.bits, top) & _from(group) if group < 64 else ZERO
        if word == ZERO:
            return width
        at = trailing_zeros(word) << 6
        word = ref(state.bits, middle + (at >> 6))
    at = (at & ~63) + trailing_zeros(word)
    return (at << 6) + trailing_zeros(ref(state.bits, bottom + at))


@inner()
def below(state: State, side_row: int, price: int) -> int:
    """The highest price with orders at or below this one, or 0."""
    if price <= 0:
        return 0
    top = side_row * state.meta[TREE]
    middle, bottom = top + 1, top + 1 + max(1, state.meta[WIDTH] >> 12)
    word = ref(state.bits, bottom + (price >> 6)) & _to(price)
    if word != ZERO:
        return (price & ~63) + 63 - leading_zeros(word)
    at = (price >> 6) - 1
    if at < 0:
        return 0
    word = ref(state.bits, middle + (at >> 6)) & _to(at)
    if word == ZERO:
        group = (at >> 6) - 1
        word = ref(state.bits, top) & _to(group) if group >= 0 else ZERO
        if word == ZERO:
            return 0
        at = (63 - leading_zeros(word)) << 6
        word = ref(state.bits, middle + (at >> 6))
    at = (at & ~63) + 63 - leading_zeros(word)
    return (at << 6) + 63 - leading_zeros(ref(state.bits, bottom + at))
