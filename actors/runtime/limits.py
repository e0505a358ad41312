"""Every bound of the runtime, named."""

from __future__ import annotations

from dataclasses import dataclass

MAX_KEY_BYTES = 64
MAX_ENTITY_ID_CHARS = 200
MAX_TIMER_NAME_CHARS = 100


@dataclass(frozen=True, slots=True)
class Limits:
    """Of a host.

    lanes: connections, and batches at a time, for each kind.
    batch_commands: LAB measured 100 to 250 as best.  batch_transactions: the ledger takes 2,000.
    mailbox_commands: of a host; beyond it callers get Overloaded with `retry_after_ms`.
    entities: of a lane, in memory; beyond it the least recently used leave.
    passivation_snapshot_events: an entity that leaves is snapshotted if it has this many events
        since its last snapshot, so that coming back is cheap.
    retry_for_ms: how long a batch is tried while PostgreSQL is away, before Unavailable.
    """

    lanes: int = 1
    batch_commands: int = 250
    batch_transactions: int = 1_000
    mailbox_commands: int = 20_000
    retry_after_ms: int = 250
    command_bytes: int = 256 * 1024
    entities: int = 200_000
    idle_ms: int = 15 * 60_000
    sweep_ms: int = 1_000
    sweep_entities: int = 1_000
    passivation_snapshot_events: int = 20
    retry_for_ms: int = 15_000
    backoff_first_ms: int = 20
    backoff_most_ms: int = 1_000
    reminder_poll_ms: int = 250
    reminders_a_poll: int = 200
    stop_ms: int = 5_000


@dataclass(frozen=True, slots=True)
class HandleLimits:
    """Of a handle. `calls_in_flight` is for each host; the pending bound is for the whole handle.

    call_ms: a call that takes longer is given up, and its commands are asked again.
    """

    commands_a_call: int = 500
    calls_in_flight: int = 2
    pending_commands: int = 20_000
    call_ms: int = 5_000
    ask_ms: int = 10_000
    backoff_first_ms: int = 20
    backoff_most_ms: int = 500
    retry_after_ms: int = 250


@dataclass(frozen=True, slots=True)
class SupervisorLimits:
    """Of a supervisor.

    lost_after_ms: a host that has not answered for so long is lost; longer than a restart takes,
        so that a crashed process comes back to its own partitions.
    trust_after_ms: a host that was lost gets its share back once it has answered for so long.
    """

    interval_ms: int = 500
    health_ms: int = 1_500
    lost_after_ms: int = 5_000
    trust_after_ms: int = 2_000
