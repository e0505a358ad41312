"""What to do with a refresh token that is shown: the whole rule, as one function.

A session's refresh tokens are numbered 0, 1, 2, …; the last one, which nobody has used, is *live*.
Using the live token makes the next one. A token that was used before is shown again either by its
owner (two tabs at the same moment, an answer that was lost) or by a thief. Who is who cannot be
told, but when: owners come back within seconds. They get the same answer as the first time, so that
both go on with the one live token. Anybody who comes later ends the session for all: a thief who
used a token first is thrown out when its owner shows it, and a thief who comes second throws
himself out (RFC 9700, 4.14.2).
"""

from __future__ import annotations

from enum import Enum, auto

import msgspec

from domain.users_sessions import POLICY, SessionPolicy


class Verdict(Enum):
    """What becomes of a refresh.

    ROTATE: the token was live; it is used now, and a next one is made.
    REPEAT: answer as the first time: the live token. Nothing changes.
    REUSED: somebody else has the token; the session ends.
    OVER: the session ended or ran out before.
    """

    ROTATE = auto()
    REPEAT = auto()
    REUSED = auto()
    OVER = auto()


class Shown(msgspec.Struct, frozen=True):
    """A token as it stands when it is shown, epoch ms.

    used_at_ms: when it was used first; None: it is the live one.  next_used_at_ms: when the one
    after it was; None: that one is live, or there is none.  idle_since_ms: the session's last use.
    """

    used_at_ms: int | None
    next_used_at_ms: int | None
    idle_since_ms: int
    expires_at_ms: int
    ended: bool


def judge(shown: Shown, now_ms: int, policy: SessionPolicy = POLICY) -> Verdict:
    """What becomes of a refresh by this token. Replicas' clocks may differ by seconds."""
    idle_out = now_ms - shown.idle_since_ms >= policy.idle_ms
    if shown.ended or idle_out or now_ms >= shown.expires_at_ms:
        return Verdict.OVER
    if shown.used_at_ms is None:
        return Verdict.ROTATE
    if now_ms - shown.used_at_ms > policy.grace_ms:
        return Verdict.REUSED
    # Whoever used the next token had received it, and does not come back to this one. What is left
    # are requests that were under way meanwhile: the third tab, slower than the other two.
    overtaken = shown.next_used_at_ms
    if overtaken is not None and now_ms - overtaken > policy.overtaken_ms:
        return Verdict.REUSED
    return Verdict.REPEAT
