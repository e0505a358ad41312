"""What clients may call. Contexts register handlers; each call becomes exactly one answer."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator
from typing import Any, NamedTuple, TypeAlias

import msgspec
import structlog

from api.realtime.channels import check_permission
from api.realtime.deadlines import Deadlines
from api.realtime.metrics import OperationMetrics
from api.realtime.protocol import Call, Encoding, ErrorMessage, Result, error_message
from api.realtime.session import ClientSession
from api.services import EntityHandle
from domain.access import Permission
from messages.errors import Unavailable, VibeStreamError
from messages.realtime import BadParams, UnknownOperation
from storage.database import is_passing

Answer: TypeAlias = msgspec.Struct | dict[str, Any] | None
# (session, params) → answer. The parameters are of the type that was registered.
Handler: TypeAlias = Callable[[ClientSession, Any], Awaitable[Answer]]

CALL_TIMEOUT_MS = 15_000
EMPTY: dict[Encoding, bytes] = {Encoding.JSON: b"{}", Encoding.MSGPACK: b"\x80"}

log = structlog.get_logger(__name__)


def wall_ms() -> int:
    """Epoch milliseconds."""
    return time.time_ns() // 1_000_000


class Question(NamedTuple):
    """What a call asks the owner of an entity."""

    entity_id: str
    command: Any
    key: bytes


# (session, params) → what is asked. It awaits nothing, and raises as handlers do.
Asks: TypeAlias = Callable[[ClientSession, Any], Question]
Tell: TypeAlias = Callable[["Result | ErrorMessage"], None]


class NoParams(msgspec.Struct, frozen=True):
    """For operations that take none."""


class Operation(msgspec.Struct, frozen=True):
    """An operation. `permission` None: anybody may call it.

    asks, owner: of one whose calls are a question to an entity's owner each, and need no task.
    `result_type` and `summary` are for the documentation only.
    """

    name: str
    handler: Handler
    permission: Permission | None
    params_type: Any
    result_type: Any
    summary: str
    from_json: msgspec.json.Decoder[Any]
    from_msgpack: msgspec.msgpack.Decoder[Any]
    asks: Asks | None = None
    owner: EntityHandle | None = None

    def decode(self, raw: bytes | msgspec.Raw, encoding: Encoding) -> Any:
        """The parameters. Raises BadParams."""
        decoder = self.from_json if encoding is Encoding.JSON else self.from_msgpack
        try:
            return decoder.decode(raw or EMPTY[encoding])
        except msgspec.ValidationError as error:
            raise BadParams(str(error)[:200]) from None
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            raise BadParams from None


class Operations:
    """The registry. Filled at composition, read-only after. `clock` is what handlers see."""

    def __init__(
        self, *, timeout_ms: int = CALL_TIMEOUT_MS, clock: Callable[[], int] = wall_ms
    ) -> None:
        self.clock = clock
        self._operations: dict[str, Operation] = {}
        self._deadlines = Deadlines(timeout_ms / 1_000)
        self.metrics = OperationMetrics()

    def __iter__(self) -> Iterator[Operation]:
        return iter(self._operations.values())

    def register(
        self,
        name: str,
        handler: Handler,
        params_type: Any,
        *,
        permission: Permission | None,
        result_type: Any = None,
        summary: str = "",
    ) -> None:
        """Have `handler(session, params)` answer calls of `name`; params are a `params_type`.

        Only who is signed in and has the permission gets that far; None: anybody does.
        It returns a Struct, a dict or None, or raises a VibeStreamError. Anything else it raises is
        a defect: logged, and told as `internal`.
        """
        assert name not in self._operations, f"two handlers for {name!r}"
        self._operations[name] = Operation(
            name,
            handler,
            permission,
            params_type,
            result_type,
            summary or (handler.__doc__ or "").strip().split("\n", 1)[0],
            msgspec.json.Decoder(params_type),
            msgspec.msgpack.Decoder(params_type),
        )

    def register_asking(
        self,
        name: str,
        owner: EntityHandle,
        asks: Asks,
        params_type: Any,
        *,
        permission: Permission | None,
        result_type: Any,
    ) -> None:
        """Have `owner` answer calls of `name`: each is what it says to `asks(session, params)`."""

        async def handler(session: ClientSession, params: Any) -> Answer:
            asked = asks(session, params)
            answer: Answer = await owner.ask(asked.entity_id, asked.command, key=asked.key)
            return answer

        summary = (asks.__doc__ or "").strip().split("\n", 1)[0]
        self.register(
            name,
            handler,
            params_type,
            permission=permission,
            result_type=result_type,
            summary=summary,
        )
        operation = self._operations[name]
        self._operations[name] = msgspec.structs.replace(operation, asks=asks, owner=owner)

    def start(
        self, session: ClientSession, call: Call, encoding: Encoding, tell: Tell
    ) -> asyncio.Future[Any] | None:
        """Begin a call. `tell` gets its answer; what is returned is done by then; None: it is."""
        operation = self._operations.get(call.op)
        if operation is None or operation.asks is None or operation.owner is None:
            return asyncio.create_task(self._run_and_tell(session, call, encoding, tell))
        started = time.perf_counter()

        def told(answer: Any) -> None:
            if isinstance(answer, Exception):
                message: Result | ErrorMessage = self._told(session, call, answer)
            else:
                message = Result(call.id, answer)
            self._observe(call.op, message, started)
            tell(message)

        try:
            self._check(operation, session)
            asked = operation.asks(session, operation.decode(call.params, encoding))
            return operation.owner.ask_soon(
                asked.entity_id, asked.command, key=asked.key, told=told
            )
        except Exception as error:  # noqa: BLE001 - the client is told, the log has its cause
            told(error)
            return None

    async def _run_and_tell(
        self, session: ClientSession, call: Call, encoding: Encoding, tell: Tell
    ) -> None:
        tell(await self.run(session, call, encoding))

    async def run(
        self, session: ClientSession, call: Call, encoding: Encoding
    ) -> Result | ErrorMessage:
        """The answer of a call, whatever happens. `encoding` is that of its parameters."""
        started = time.perf_counter()
        operation = self._operations.get(call.op)
        name = operation.name if operation else "unknown"
        watched = self._deadlines.watch()
        try:
            message: Result | ErrorMessage = await self._answer(operation, session, call, encoding)
        except asyncio.CancelledError:
            if not watched.is_late or watched.task.uncancel():
                raise
            message = error_message(call.id, Unavailable("the operation took too long"))
        except Exception as error:  # noqa: BLE001 - its cause is for the log, not the client
            message = self._told(session, call, error)
        finally:
            watched.done = True
        self._observe(name, message, started)
        return message

    def _told(self, session: ClientSession, call: Call, error: Exception) -> ErrorMessage:
        """How the client is told of an error."""
        if isinstance(error, VibeStreamError):
            if error.code == VibeStreamError.code:
                self._log_defect(session, call, error)
            return error_message(call.id, error)
        if is_passing(error):
            log.warning("a store cannot be reached", operation=call.op[:128], error=repr(error))
            return error_message(call.id, Unavailable())
        self._log_defect(session, call, error)
        return _internal(session, call)

    def _observe(self, name: str, message: Result | ErrorMessage, started: float) -> None:
        outcome = message.code if isinstance(message, ErrorMessage) else "ok"
        self.metrics.observe(name, outcome, time.perf_counter() - started)

    @staticmethod
    def _check(operation: Operation, session: ClientSession) -> None:
        if operation.permission is not None:
            check_permission(session.require_subject(), operation.permission)

    async def _answer(
        self, operation: Operation | None, session: ClientSession, call: Call, encoding: Encoding
    ) -> Result:
        if operation is None:
            raise UnknownOperation
        self._check(operation, session)
        answer = await operation.handler(session, operation.decode(call.params, encoding))
        return Result(call.id, {} if answer is None else answer)

    def _log_defect(self, session: ClientSession, call: Call, error: Exception) -> None:
        log.error(
            "operation failed",
            exc_info=error,
            operation=call.op[:128],
            request_id=session.request_id,
            session_id=session.session_id,
            user_id=session.subject.user_id if session.subject else None,
        )


def _internal(session: ClientSession, call: Call) -> ErrorMessage:
    told = error_message(call.id, VibeStreamError())
    return msgspec.structs.replace(told, params={"request_id": session.request_id})
