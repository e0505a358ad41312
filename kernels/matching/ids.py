"""Live orders by id: open addressing with linear probing, and no tombstones.

An entry is one word: the id's hash above, the slot below; 0 is empty. Ids that follow each other
share cache lines (`spread`). Removal moves what follows back to where it belongs (Knuth, volume 3,
6.4, algorithm R), so a lookup never grows slower with age. The table is at most half full.
"""

from __future__ import annotations

import numpy as np

from kernels.compile import inner
from kernels.matching.layout import IDS_MASK, State, int64
from kernels.matching.words import ref, spread


@inner(forceinline=True)
def _hash(entry: np.uint64) -> int:
    return int64(entry >> np.uint64(32))


@inner(forceinline=True)
def _slot(entry: np.uint64) -> int:
    return int64(entry & np.uint64(0xFFFFFFFF))


@inner(forceinline=True)
def find(state: State, order_id: int) -> int:
    """The slot of the live order, or 0."""
    mask, hashed = state.meta[IDS_MASK], spread(order_id)
    at = hashed & mask
    while True:
        entry = ref(state.ids, at)
        if entry == np.uint64(0):
            return 0
        if _hash(entry) == hashed and ref(state.orders, _slot(entry)).order_id == order_id:
            return _slot(entry)
        at = (at + 1) & mask


@inner(forceinline=True)
def insert(state: State, order_id: int, slot: int) -> None:
    """Remember an order whose id is not there."""
    mask, hashed = state.meta[IDS_MASK], spread(order_id)
    at = hashed & mask
    while ref(state.ids, at) != np.uint64(0):
        at = (at + 1) & mask
    state.ids[at] = np.uint64(hashed) << np.uint64(32) | np.uint64(slot)


@inner(forceinline=True)
def remove(state: State, order_id: int, slot: int) -> None:
    """Forget an order that is there."""
    mask, hashed = state.meta[IDS_MASK], spread(order_id)
    at = hashed & mask
    while _slot(ref(state.ids, at)) != slot:
        at = (at + 1) & mask
    after = at
    while True:
        after = (after + 1) & mask
        entry = ref(state.ids, after)
        if entry == np.uint64(0):
            break
        # It may move back unless its home lies after the hole.
        if (after - _hash(entry)) & mask >= (after - at) & mask:
            state.ids[at] = entry
            at = after
    state.ids[at] = np.uint64(0)
