"""What an operation's handler knows of the connection that called it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, TypeAlias
from uuid import uuid4

from api.realtime.channels import Subject
from messages.errors import Unauthenticated
from messages.keys import derive_key

CloseHook: TypeAlias = Callable[[], Awaitable[None]]
MAX_HOOKS = 64


class ConnectionState:
    """What lasts as long as the connection.

    memory: for contexts, by a name of their own (`memory["listening"]`).
    """

    __slots__ = ("client", "clock", "hooks", "memory", "session_id", "subject")

    def __init__(self, session_id: str, clock: Callable[[], int]) -> None:
        self.session_id = session_id
        self.clock = clock
        self.subject: Subject | None = None
        self.client = ""
        self.memory: dict[str, Any] = {}
        self.hooks: dict[str, CloseHook] = {}


class ClientSession:
    """One call on a connection. Handlers get it, and must not keep it."""

    __slots__ = ("_client_key", "_request_id", "_state", "call_id", "operation")

    def __init__(
        self,
        state: ConnectionState,
        *,
        call_id: str,
        operation: str,
        client_key: str | None,
        request_id: str = "",
    ) -> None:
        self._state = state
        self._client_key = client_key
        self.call_id = call_id
        self.operation = operation
        self._request_id = request_id

    @property
    def request_id(self) -> str:
        """What the call is named in the logs. Made when first asked for: few calls need it."""
        if not self._request_id:
            self._request_id = str(uuid4())
        return self._request_id

    @property
    def session_id(self) -> str:
        """The connection's id; another one after each reconnect."""
        return self._state.session_id

    @property
    def subject(self) -> Subject | None:
        """Who is calling; None if not signed in."""
        return self._state.subject

    @property
    def user_id(self) -> str | None:
        """The caller's user id; None if not signed in."""
        return self._state.subject.user_id if self._state.subject else None

    @property
    def client(self) -> str:
        """What the client calls itself."""
        return self._state.client

    @property
    def memory(self) -> dict[str, Any]:
        """What contexts remember of this connection while it lasts, each under its own name."""
        return self._state.memory

    def require_subject(self) -> Subject:
        """Who is calling. Raises Unauthenticated if not signed in."""
        if self._state.subject is None:
            raise Unauthenticated
        return self._state.subject

    def now(self) -> int:
        """Epoch ms."""
        return self._state.clock()

    def key(self, *parts: str | int) -> bytes:
        """The idempotency key of what this call does; `parts` tell several commands apart.

        With a client-supplied key it is the same for the user on every connection, so a retry after
        a lost answer finds what was recorded. Without one it is this call's alone.
        """
        owner = self._state.subject.user_id if self._state.subject else ""
        if self._client_key is not None and owner:
            return derive_key("realtime", owner, self.operation, self._client_key, *parts)
        return derive_key(
            "realtime", self.session_id, self.operation, self.call_id, self.request_id, *parts
        )

    def on_close(self, name: str, hook: CloseHook) -> None:
        """Run `hook` once when the connection is over. A hook of the same name is replaced."""
        hooks = self._state.hooks
        assert name in hooks or len(hooks) < MAX_HOOKS, "a connection has few hooks"
        hooks[name] = hook

    def off_close(self, name: str) -> None:
        """Forget the hook of that name."""
        self._state.hooks.pop(name, None)
