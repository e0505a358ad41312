"""Secrets that change while the engine runs: read again, checked, and handed to who uses them.

What came from a store or a folder of files is read again every minute. A value that is no longer
what it was and that the settings would accept is swapped: new connections to PostgreSQL and Redis
use it, and whoever asked with `on_change` is told. Whatever fails, the old values stay.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path

import structlog

from deployments.settings import Settings, check_again
from integrations.redis_credentials import PresentCredentials, without_credentials
from integrations.secret_stores import PREFIX, SecretStore, SecretStoreError, open_store

REFRESH_S = 60.0
# What a running process can change. Any other setting needs a restart.
SWAPPABLE = ("postgres_url", "redis_url", "smtp_url")

log = structlog.get_logger(__name__)
OnChange = Callable[[str], Awaitable[None]]


class FolderStore:
    """A folder with a file for each secret, as container platforms mount them."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def read(self) -> Mapping[str, str]:
        """See SecretStore."""
        try:
            files = [file for file in self._folder.iterdir() if file.is_file()]
            return {
                file.name.lower().removeprefix(PREFIX): file.read_text("utf-8").strip()
                for file in files
            }
        except (OSError, UnicodeError) as error:
            raise SecretStoreError(f"secret files: {type(error).__name__}") from None


class Secrets:
    """The present values of the settings that may be swapped. Holds no task until `start`."""

    def __init__(self, settings: Settings, store: SecretStore | None) -> None:
        self._settings, self._store = settings, store
        self._values = {name: str(getattr(settings, name)) for name in SWAPPABLE}
        self._listeners: dict[str, list[OnChange]] = {}
        self._managed: set[str] | None = None
        self._task: asyncio.Task[None] | None = None
        self.swapped = 0
        self.problem = ""

    def __repr__(self) -> str:
        return f"Secrets(swapped={self.swapped})"

    def present(self, name: str) -> Callable[[], str]:
        """What tells the value of a setting, whenever it is asked."""
        return lambda: self._values[name]

    def redis(self) -> tuple[str, PresentCredentials | None]:
        """Redis's URL and, if it wants a password, who tells each connection's credentials."""
        url = self._values["redis_url"]
        if "@" not in url:
            return url, None
        return without_credentials(url), PresentCredentials(self.present("redis_url"))

    def on_change(self, name: str, listener: OnChange) -> None:
        """Have `listener` told each new value of a setting of SWAPPABLE."""
        assert name in SWAPPABLE, name
        self._listeners.setdefault(name, []).append(listener)

    def start(self, every_s: float = REFRESH_S) -> None:
        """Read again from time to time, for as long as the event loop runs."""
        if self._store is not None:
            self._task = asyncio.create_task(self._refresh_for_ever(every_s))

    async def refresh(self) -> tuple[str, ...]:
        """Read the store; what was swapped. Never raises: `problem` says what failed."""
        if self._store is None:
            return ()
        try:
            found = await asyncio.to_thread(self._store.read)
            return await self._swap(found)
        except (SecretStoreError, ValueError) as error:
            self._fails(str(error) if isinstance(error, SecretStoreError) else "a value is refused")
        return ()

    async def health(self) -> str:
        """For readiness. Raises SecretStoreError while the store cannot be read."""
        if self.problem:
            raise SecretStoreError(self.problem)
        return f"{self.swapped} swapped" if self._store is not None else "from the start"

    async def _swap(self, found: Mapping[str, str]) -> tuple[str, ...]:
        values = {name: found[name] for name in SWAPPABLE if name in found}
        if self._managed is None:
            # What a variable says wins over the store, now as at the start.
            self._managed = {n for n, v in values.items() if v == self._values[n]}
        changes = {
            name: value
            for name, value in values.items()
            if name in self._managed and value != self._values[name]
        }
        if changes:
            check_again(self._settings, {**self._values, **changes})
        self._values.update(changes)
        self.swapped += len(changes)
        self.problem = ""
        for name, value in changes.items():
            log.info("a secret was swapped", setting=name)
            await self._tell(name, value)
        return tuple(changes)

    async def _tell(self, name: str, value: str) -> None:
        for listener in self._listeners.get(name, ()):
            try:
                await listener(value)
            except Exception as error:  # noqa: BLE001 - one that fails keeps no other from it
                self._fails(f"{name} could not be handed on: {type(error).__name__}")

    def _fails(self, problem: str) -> None:
        self.problem = problem
        log.error("secrets were not refreshed; the old ones stay", problem=problem)

    async def _refresh_for_ever(self, every_s: float) -> None:
        while True:
            await self.refresh()
            await asyncio.sleep(every_s)


def open_secrets(settings: Settings) -> Secrets:
    """The secrets of a process, read again from now on."""
    store: SecretStore | None = None
    if settings.secrets:
        store = open_store(settings.secrets)
    elif settings.secrets_dir:
        store = FolderStore(Path(settings.secrets_dir))
    opened = Secrets(settings, store)
    opened.start(settings.secrets_refresh_s)
    return opened
