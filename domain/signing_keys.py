"""When a key signs access tokens, when it verifies them, when it is published. Pure.

Each key carries the moment from which it signs. Everything else follows from these moments and the
present one, so that replicas that see the same keys agree without talking to each other:

- published as soon as it is there, long before it signs: whoever caches the published keys has it;
- signs from its moment until the next key's moment;
- verifies, and stays published, until the last token that it can have signed has expired.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec


class KeyPolicy(msgspec.Struct, frozen=True):
    """In milliseconds.

    publish_ms: how long a key is published before it signs: twice what others may cache the list.
    lifetime_ms: of an access token.  margin_ms: more than replicas' clocks differ by.
    at_once_ms: the same as publish_ms when there is no time: until every replica has seen the key.
    """

    publish_ms: int = 600_000
    lifetime_ms: int = 15 * 60_000
    margin_ms: int = 60_000
    at_once_ms: int = 10_000


POLICY = KeyPolicy()


def signer(moments: Sequence[int], now_ms: int) -> int:
    """The index of the key that signs: the one whose moment came last; if none came, the first.

    moments: from when each key signs, epoch ms; of equal ones the first counts.
    """
    assert moments, "there is a key"
    begun = [moment for moment in moments if moment <= now_ms]
    return moments.index(max(begun) if begun else min(moments))


def good_until_ms(moments: Sequence[int], index: int, policy: KeyPolicy = POLICY) -> int | None:
    """Until when a key verifies; None while no other follows it."""
    following = [moment for moment in moments if moment > moments[index]]
    if not following:
        return None
    return min(following) + policy.lifetime_ms + policy.margin_ms


def is_good(moments: Sequence[int], index: int, now_ms: int, policy: KeyPolicy = POLICY) -> bool:
    """Whether a key verifies and is published."""
    until = good_until_ms(moments, index, policy)
    return until is None or now_ms < until
