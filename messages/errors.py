"""The drawn tree of everything VibeStream may answer instead of a result.

    VibeStreamError
    ├── Refusal             the command was understood and refused; nothing changed
    │   ├── Invalid         the input is malformed or breaks a rule on its own
    │   ├── NotFound        the thing named does not exist (or is not the caller's to see)
    │   ├── Conflict        the thing exists but its present state forbids this
    │   ├── Forbidden       the caller may not do this
    │   ├── Unauthenticated the caller is not known
    │   └── Limited         a quota of the caller is used up
    └── Transient           nothing was decided; the same command may be sent again
        ├── Overloaded      a bounded queue is full
        └── Unavailable     the owner or a store cannot be reached

Contexts add leaves with their own stable `code`. The tree knows no HTTP: `api/problems.py` has the
only table from classes to status codes. Codes are part of the public contract: never reuse one.
"""

from __future__ import annotations

from typing import ClassVar


class VibeStreamError(Exception):
    """Base of all typed errors. `detail` is English prose for engineers; `params` are its values.

    Users see the translation-catalogue entry for `code`, filled with `params`.
    """

    code: ClassVar[str] = "internal"

    def __init__(self, detail: str = "", **params: str | int) -> None:
        super().__init__(detail or type(self).__doc__ or self.code)
        self.detail = detail or (type(self).__doc__ or self.code).strip().splitlines()[0]
        self.params: dict[str, str | int] = params


class Refusal(VibeStreamError):  # noqa: N818 - the domain's word
    """The command was refused and nothing changed."""

    code = "refused"


class Invalid(Refusal):
    """The input is not valid."""

    code = "invalid"


class NotFound(Refusal):
    """There is no such thing."""

    code = "not-found"


class Conflict(Refusal):
    """The present state does not allow this."""

    code = "conflict"


class Forbidden(Refusal):
    """You may not do this."""

    code = "forbidden"


class Unauthenticated(Refusal):
    """Sign in first."""

    code = "unauthenticated"


class Limited(Refusal):
    """A limit is reached."""

    code = "limited"


class IdempotencyKeyReused(Conflict):
    """This idempotency key was used before with another request."""

    code = "idempotency-key-reused"


class InsufficientFunds(Conflict):
    """The account does not hold enough."""

    code = "insufficient-funds"


class Transient(VibeStreamError):  # noqa: N818
    """Nothing was decided; send the same command again."""

    code = "transient"

    def __init__(
        self, detail: str = "", *, retry_after_ms: int = 1_000, **params: str | int
    ) -> None:
        super().__init__(detail, retry_after_ms=retry_after_ms, **params)
        self.retry_after_ms = retry_after_ms


class Overloaded(Transient):
    """The engine is at its limit; try again shortly."""

    code = "overloaded"


class Unavailable(Transient):
    """A part of the engine cannot be reached; try again shortly."""

    code = "unavailable"


def error_classes() -> dict[str, type[VibeStreamError]]:
    """All error classes loaded so far, by code. Two classes with one code are a bug."""
    found: dict[str, type[VibeStreamError]] = {}
    pending: list[type[VibeStreamError]] = [VibeStreamError]
    while pending:
        cls = pending.pop()
        assert found.get(cls.code, cls) is cls, f"two error classes share the code {cls.code!r}"
        found[cls.code] = cls
        pending.extend(cls.__subclasses__())
    return found


_known: dict[str, type[VibeStreamError]] = {}


def rebuild_error(code: str, detail: str, params: dict[str, str | int]) -> VibeStreamError:
    """The error that crossed a process boundary as (code, detail, params)."""
    cls = _known.get(code)
    if cls is None:  # of a module that was loaded since
        _known.update(error_classes())
        cls = _known.get(code, VibeStreamError)
    error = cls.__new__(cls)
    Exception.__init__(error, detail)
    error.detail, error.params = detail, dict(params)
    if isinstance(error, Transient):
        error.retry_after_ms = int(params.get("retry_after_ms", 1_000))
    return error
