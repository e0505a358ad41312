"""What carriers of calls to providers share: what came of one, in words for its owner."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import Any, Protocol, TypeVar

import structlog

from messages.payments.gateways import CallDeclined, CallNotSent, CallOutcomeUnknown
from messages.payments.payments import RecordFailure

Found = TypeVar("Found")

log = structlog.get_logger(__name__)


class Asks(Protocol):
    """A handle of the actor runtime."""

    async def ask(self, entity_id: str, command: Any, *, key: bytes) -> Any:
        """The owner's answer. Raises messages.errors.*"""


async def outcome(call_id: str, answer: Awaitable[Found]) -> Found | RecordFailure:
    """A provider's answer, or how far it is certain that nothing was done. Raises nothing."""
    try:
        return await answer
    except CallDeclined as error:
        return RecordFailure(call_id, True, True, _code(error))
    except CallNotSent as error:
        return RecordFailure(call_id, False, True, _code(error))
    except CallOutcomeUnknown as error:
        return RecordFailure(call_id, False, False, _code(error))
    except Exception as error:
        log.exception("call of a provider failed", call_id=call_id)
        return RecordFailure(call_id, False, False, type(error).__name__)


def _code(error: CallDeclined | CallNotSent | CallOutcomeUnknown) -> str:
    return str(error.params.get("reason", "")) or error.code
