"""Redis's password as it is now, for each new connection."""

from __future__ import annotations

from collections.abc import Callable
from urllib.parse import unquote, urlsplit, urlunsplit

from redis.credentials import CredentialProvider


class PresentCredentials(CredentialProvider):
    """The user and the password in a URL that may change. The URL's host is not looked at."""

    def __init__(self, url: Callable[[], str]) -> None:
        self._url = url

    def get_credentials(self) -> tuple[str] | tuple[str, str]:
        """Those of the present URL."""
        parts = urlsplit(self._url())
        password = unquote(parts.password or "")
        return (unquote(parts.username), password) if parts.username else (password,)


def without_credentials(url: str) -> str:
    """The URL without user and password, which the client takes from the provider."""
    parts = urlsplit(url)
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))
