"""How long a guesser must wait, and whom that may never shut out.

Attempts at a secret are counted in budgets. A device that signed in to the account before has one
of its own, so that nobody else's attempts cost it anything (OWASP, device cookies). Everybody else
shares three: of the account from this network, of this network over all accounts, and of the
account from anywhere, which is what a guesser with many addresses meets. A budget is free at
first; then each failure doubles the wait up to a limit, and none lasts.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import msgspec

SECOND_MS = 1_000
MINUTE_MS = 60 * SECOND_MS
HOUR_MS = 60 * MINUTE_MS


class Budget(msgspec.Struct, frozen=True):
    """free: failures before the first wait.  longest_ms: of a wait.  forget_ms: without any attempt
    for that long, a budget is new."""

    name: str
    free: int
    longest_ms: int
    forget_ms: int
    first_ms: int = SECOND_MS

    def wait_ms(self, failures: int) -> int:
        """How long after the latest of so many failures the next attempt may come."""
        if failures < self.free:
            return 0
        # No power of two beyond the longest is needed, and a huge one is no number in Lua.
        return min(self.longest_ms, self.first_ms << min(failures - self.free, 40))


DEVICE = Budget("device", 10, 15 * MINUTE_MS, 24 * HOUR_MS)
PAIR = Budget("pair", 5, 15 * MINUTE_MS, 24 * HOUR_MS)
NETWORK = Budget("network", 50, MINUTE_MS, HOUR_MS)
ACCOUNT = Budget("account", 50, 5 * MINUTE_MS, 24 * HOUR_MS)

DEVICE_LIFE_S = 180 * 24 * 3_600  # how long a device is known without signing in


class Charge(NamedTuple):
    """A budget that an attempt is counted under.  clears: whether success makes it new; else only
    the attempt itself is taken back, or a guesser with an account of their own would clear it."""

    key: str
    budget: Budget
    clears: bool


class Standing(NamedTuple):
    """failures, the latest at at_ms. An attempt counts as failed until it is known to be right."""

    failures: int = 0
    at_ms: int = 0


def charges(account: str, network: str, device: str | None) -> tuple[Charge, ...]:
    """What an attempt at an account's secret is counted under. device: one known to the account."""
    if device is not None:
        return (Charge(f"device:{account}:{device}", DEVICE, True),)
    return (
        Charge(f"pair:{account}:{network}", PAIR, True),
        Charge(f"network:{network}", NETWORK, False),
        Charge(f"account:{account}", ACCOUNT, False),
    )


def attempt(
    standings: Mapping[str, Standing], asked: tuple[Charge, ...], now_ms: int
) -> tuple[int, Mapping[str, Standing]]:
    """How long to wait, and the standings after; nothing changes while a wait is not over.

    The attempt is charged before it is tried, so a thousand at once are no more than a few.
    """
    waits = []
    for key, budget, _ in asked:
        standing = known(standings, key, budget, now_ms)
        waits.append(standing.at_ms + budget.wait_ms(standing.failures) - now_ms)
    if (wait_ms := max(waits)) > 0:
        return wait_ms, standings
    after = dict(standings)
    for key, budget, _ in asked:
        failures = known(standings, key, budget, now_ms).failures
        after[key] = Standing(failures + 1, now_ms)
    return 0, after


def succeed(standings: Mapping[str, Standing], asked: tuple[Charge, ...]) -> Mapping[str, Standing]:
    """The standings once a charged attempt turned out right."""
    after = dict(standings)
    for key, _, clears in asked:
        failures, at_ms = after.pop(key, Standing())
        if not clears and failures > 1:
            after[key] = Standing(failures - 1, at_ms)
    return after


def concerns(key: str, account: str) -> bool:
    """Whether a budget's key is of an account: its own, or one of its devices' or networks'."""
    return account in key.split(":")[1:2]


def known(standings: Mapping[str, Standing], key: str, budget: Budget, now_ms: int) -> Standing:
    """A budget's standing, new if it was left alone long enough."""
    standing = standings.get(key, Standing())
    return standing if now_ms - standing.at_ms < budget.forget_ms else Standing()
