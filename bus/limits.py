"""Everything in the bus has a limit, and a name for it."""

from __future__ import annotations

import msgspec

DAY_MS = 24 * 60 * 60 * 1000


class Limits(msgspec.Struct, frozen=True):
    """The bus's limits. Those that end in `_s` are seconds, in `_ms` milliseconds.

    publish_batch, publish_bytes: what a relay sends to the broker at once.
    settle_poll_s, settle_poll_max_s: how often a relay looks while some event waits for an older
        transaction to end; it starts with the first and slows down to the second.
    idle_poll_s: how often a relay looks when nothing woke it, and checks that the broker still
        has what it was given.
    handle_batch: events handed to a handler in one transaction.
    sift_s: how often a consumer that wants few of a stream's events looks for them.
    block_ms: how long a consumer waits for the broker before it asks PostgreSQL itself.
    attempts: failures of an event before it is parked; pauses between them grow from
        attempt_pause_s to attempt_pause_max_s.
    retry_pause_s, retry_pause_max_s: pauses while something cannot be reached. Never given up.
    trim_every_s: how often streams and tables are trimmed.
    grace_ms: entries stay this long after all groups have handled them, for readers that are not
        groups (realtime replicas), unless the stream is over its limit.
    stream_limit: entries of a stream in the broker beyond which the oldest go, read or not; a
        group that is so far behind reads from PostgreSQL.
    retention_ms: events stay this long in PostgreSQL at least, for listeners that resume.
    purge_batch: rows deleted in one transaction.
    """

    publish_batch: int = 500
    publish_bytes: int = 1_000_000
    settle_poll_s: float = 0.001
    settle_poll_max_s: float = 0.02
    idle_poll_s: float = 1.0
    handle_batch: int = 500
    sift_s: float = 0.25
    block_ms: int = 1_000
    attempts: int = 5
    attempt_pause_s: float = 0.05
    attempt_pause_max_s: float = 1.0
    retry_pause_s: float = 0.05
    retry_pause_max_s: float = 2.0
    trim_every_s: float = 5.0
    grace_ms: int = 60_000
    stream_limit: int = 200_000
    retention_ms: int = DAY_MS
    purge_batch: int = 5_000
