"""When a letter that could not be sent is tried again, and when it is given up. Pure."""

from __future__ import annotations

import msgspec


class MailPolicy(msgspec.Struct, frozen=True):
    """Pauses between attempts double from first_pause_ms to longest_pause_ms; at most `attempts`.

    With these numbers a letter is given up after about a day.
    """

    first_pause_ms: int = 2_000
    longest_pause_ms: int = 2 * 3_600_000
    attempts: int = 24


POLICY = MailPolicy()


def next_attempt_ms(
    attempts: int, now_ms: int, chance: float, policy: MailPolicy = POLICY
) -> int | None:
    """When to try again after `attempts` failed; None to give up.

    chance: in [0, 1), cuts the pause by up to half, so that letters that failed together part.
    """
    if attempts >= policy.attempts:
        return None
    doublings = min(attempts - 1, 30)
    pause = min(policy.first_pause_ms << max(doublings, 0), policy.longest_pause_ms)
    return now_ms + pause - int(pause * chance / 2)
