"""Secrets that are read again: what is swapped, what stays, and that none of them shows."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import structlog

from deployments.secrets import FolderStore, Secrets, open_secrets
from deployments.settings import Settings
from integrations.redis_credentials import PresentCredentials, without_credentials
from integrations.secret_stores import SecretStoreError, VaultStore, named, open_store

OLD = "postgresql://app:k3xq-unguessed@db.internal:5432/app"
NEW = "postgresql://app:p9wm-unguessed@db.internal:5432/app"
SMTP = "smtps://a:unguessed-2@mail.example.org"
REDIS = "redis://:k3xq-unguessed@cache.internal:6379/0"


@pytest.fixture(autouse=True)
def _no_settings_around(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    for name in Settings.model_fields:
        monkeypatch.delenv(f"VIBESTREAM_{name.upper()}", raising=False)


class Store:
    def __init__(self, **values: str) -> None:
        self.values: Mapping[str, Any] = values
        self.error: Exception | None = None

    def read(self) -> Mapping[str, str]:
        if self.error is not None:
            raise self.error
        return named(self.values)


def settings(**changes: Any) -> Settings:
    servers = {"postgres_url": OLD, "redis_url": REDIS, "smtp_url": SMTP}
    sender = "VibeStream <no-reply@example.org>"
    fixed = {
        "environment": "production",
        "mail_from": sender,
        "public_url": "https://vibestream.example.org",
    }
    return Settings(**{**servers, **fixed, **changes})


async def test_a_changed_value_is_swapped_and_told() -> None:
    store = Store(postgres_url=OLD, redis_url=REDIS)
    secrets, told = Secrets(settings(), store), list[str]()

    async def listener(value: str) -> None:
        told.append(value)

    secrets.on_change("postgres_url", listener)
    present = secrets.present("postgres_url")
    assert await secrets.refresh() == ()
    store.values = {"VIBESTREAM_POSTGRES_URL": NEW, "redis_url": REDIS}
    assert await secrets.refresh() == ("postgres_url",)
    assert (present(), told) == (NEW, [NEW])
    assert await secrets.refresh() == ()
    assert await secrets.health() == "1 swapped"


async def test_what_a_variable_says_wins_also_later() -> None:
    store = Store(postgres_url="postgresql://other:unguessed-1@x/y")
    secrets = Secrets(settings(), store)
    await secrets.refresh()
    store.values = {"postgres_url": NEW}
    assert await secrets.refresh() == ()
    assert secrets.present("postgres_url")() == OLD


@pytest.mark.parametrize(
    ("values", "error"),
    [
        ({}, SecretStoreError("Vault: Forbidden")),
        ({"postgres_url": "postgresql://app:password@db/app"}, None),
        ({"postgres_url": ""}, None),
        ({"smtp_url": "gopher://x", "postgres_url": OLD}, None),
    ],
)
async def test_what_fails_keeps_the_old_values_and_shows(
    values: dict[str, str], error: Exception | None
) -> None:
    store = Store(postgres_url=OLD, smtp_url=SMTP)
    secrets = Secrets(settings(), store)
    await secrets.refresh()
    store.values, store.error = values, error
    with structlog.testing.capture_logs() as logs:
        assert await secrets.refresh() == ()
    assert secrets.present("postgres_url")() == OLD
    assert secrets.present("smtp_url")() == SMTP
    with pytest.raises(SecretStoreError) as shown:
        await secrets.health()
    assert logs[-1]["log_level"] == "error"
    assert "password" not in f"{shown.value} {logs}"
    store.values, store.error = {"postgres_url": NEW, "smtp_url": SMTP}, None
    assert await secrets.refresh() == ("postgres_url",)
    assert await secrets.health() == "1 swapped"


async def test_a_listener_that_fails_keeps_no_other_from_it() -> None:
    store = Store(postgres_url=OLD)
    secrets, told = Secrets(settings(), store), list[str]()

    async def broken(value: str) -> None:
        raise RuntimeError(value)

    async def listener(value: str) -> None:
        told.append(value)

    secrets.on_change("postgres_url", broken)
    secrets.on_change("postgres_url", listener)
    await secrets.refresh()
    store.values = {"postgres_url": NEW}
    await secrets.refresh()
    assert told == [NEW]
    assert "unguessed" not in secrets.problem
    assert "RuntimeError" in secrets.problem


async def test_files_are_read_again_while_it_runs(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    import asyncio

    file = tmp_path / "vibestream_postgres_url"
    file.write_text(OLD + "\n", "utf-8")
    monkeypatch.setenv("VIBESTREAM_SECRETS_DIR", str(tmp_path))
    monkeypatch.setenv("VIBESTREAM_SECRETS_REFRESH_S", "0.1")
    read = Settings(redis_url=REDIS)
    assert read.postgres_url == OLD
    secrets, told = open_secrets(read), asyncio.Event()

    async def listener(_value: str) -> None:
        told.set()

    secrets.on_change("postgres_url", listener)
    await asyncio.sleep(0.05)
    file.write_text(NEW, "utf-8")
    await asyncio.wait_for(told.wait(), 20)
    assert secrets.present("postgres_url")() == NEW
    assert secrets._task is not None
    secrets._task.cancel()


def test_no_secret_shows_in_any_form() -> None:
    store = Store(postgres_url=OLD)
    one = settings(google_client_id="a", google_client_secret="s-unguessed")
    secrets = Secrets(one, store)
    credentials = secrets.redis()[1]
    shown = f"{one!r} {one} {secrets!r} {secrets} {credentials!r} {secrets.redis()[0]}"
    assert "unguessed" not in shown
    for field in Settings.model_fields.items():
        name, info = field
        if name.endswith(("_secret", "_key", "postgres_url", "redis_url", "smtp_url")):
            assert info.repr is False, f"{name} would show"


def test_redis_s_credentials_are_those_of_the_present_url() -> None:
    urls = iter(["redis://:a%40b@x/0", "rediss://user:c@y:6379/1"])
    credentials = PresentCredentials(lambda: next(urls))
    assert credentials.get_credentials() == ("a@b",)
    assert credentials.get_credentials() == ("user", "c")
    assert without_credentials("rediss://user:c@y:6379/1?x=1") == "rediss://y:6379/1?x=1"


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("vault://vault.internal", "is like"),
        ("vault://vault.internal/secret", "mount/path"),
        ("vault://vault.internal/secret/app?auth=magic", "auth"),
        ("vault://vault.internal/secret/app?auth=kubernetes", "needs a role"),
        ("vault://vault.internal/secret/app?tls=off", "on this machine"),
        ("vault://token@vault.internal/secret/app", "no credentials"),
        ("vault://u:unguessed@vault.internal/secret/app", "no credentials"),
        ("gcp://project/secret", "no secret store"),
        ("aws-ssm:///path", "is like"),
        ("vault://x:port/secret/app", "not a URL"),
    ],
)
def test_a_url_that_names_no_store_is_refused(url: str, why: str) -> None:
    with pytest.raises(ValueError, match=why) as caught:
        open_store(url)
    assert "unguessed" not in str(caught.value)


def test_vault_is_asked_by_tls() -> None:
    store = open_store("vault://vault.internal/secret/team/app")
    assert isinstance(store, VaultStore)
    assert (store._url, store._mount, store._path) == (
        "https://vault.internal:8200",
        "secret",
        "team/app",
    )


def test_a_folder_that_is_gone_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(SecretStoreError, match="FileNotFoundError"):
        FolderStore(tmp_path / "gone").read()


def test_values_must_be_texts() -> None:
    wrongs: list[Any] = [[], {"a": 1}, None, "x"]
    for wrong in wrongs:
        with pytest.raises(TypeError):
            named(wrong)
