"""Everything at the realtime door has a limit, and a name for it."""

from __future__ import annotations

import msgspec

KIB = 1024
MIB = 1024 * KIB


class Limits(msgspec.Struct, frozen=True):
    """Bytes, counts and milliseconds.

    max_message_bytes: the longest message a client may send.
    message_burst, messages_per_second: the token bucket of a connection. Who goes on sending with
        an empty bucket, until `message_debt` messages were refused, is closed.
    soft_buffer_bytes: unsent bytes from which a listener counts as congested: of conflatable
        channels only the latest message is kept for it.
    hard_buffer_bytes: unsent bytes at which a listener is closed as too slow.
    socket_buffer_bytes: the kernel's send buffer, which it doubles. Without a bound the kernel
        hoards megabytes for each stalled listener before anybody notices.
    close_linger_ms: how long a closed connection may take to read what is left.
    history_events, history_bytes: the latest events kept in memory for resuming, all channels
        together. What is older is read from PostgreSQL.
    replay_events: the most events a resume may bring; beyond that the client reloads.
    joining_events: live events held back while one resume reads PostgreSQL.
    replays_at_once: resumes that may read PostgreSQL at the same time.
    bye_spread_ms: a stopping server spreads its clients' return over this time.
    """

    max_message_bytes: int = 16 * KIB
    max_subscriptions: int = 100
    max_cursor_streams: int = 32
    calls_in_flight: int = 32
    call_timeout_ms: int = 15_000
    message_burst: int = 200
    messages_per_second: int = 50
    message_debt: int = 200
    hello_timeout_ms: int = 5_000
    heartbeat_ms: int = 20_000
    idle_timeout_ms: int = 60_000
    soft_buffer_bytes: int = 64 * KIB
    hard_buffer_bytes: int = MIB
    socket_buffer_bytes: int = 64 * KIB
    close_linger_ms: int = 3_000
    history_events: int = 20_000
    history_bytes: int = 32 * MIB
    replay_events: int = 1_000
    replay_timeout_ms: int = 5_000
    joining_events: int = 1_000
    replays_at_once: int = 4
    max_connections: int = 10_000
    bye_spread_ms: int = 3_000
    retry_after_s: int = 5
