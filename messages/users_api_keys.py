"""API keys and services: what may be refused."""

from __future__ import annotations

from messages.errors import Conflict, Invalid, NotFound


class BadKeyName(Invalid):
    """The name of a key has 1 to 64 printable characters."""

    code = "api-key-name-invalid"


class BadKeyScopes(Invalid):
    """A key needs scopes, each a permission that its user has and that keys may have."""

    code = "api-key-scopes-invalid"


class BadKeyExpiry(Invalid):
    """A key is good for at least an hour and at most a year."""

    code = "api-key-expiry-invalid"


class TooManyKeys(Conflict):
    """There are too many keys in use; revoke one first."""

    code = "api-key-limit"


class ApiKeyNotFound(NotFound):
    """You have no such key."""

    code = "api-key-not-found"


class ServiceNotFound(NotFound):
    """There is no such service."""

    code = "service-not-found"
