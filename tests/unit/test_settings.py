"""Settings: typed, secrets unseen, production without defaults."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from deployments import proof_keys
from deployments.settings import Settings
from integrations.proof_artifacts import ArtifactError
from simulators.proofs import VERSION, Prover

POSTGRES = "postgresql://app:k3xq-unguessed@db.internal:5432/app"
REDIS = "redis://:k3xq-unguessed@cache.internal:6379/0"
MAIL: dict[str, Any] = {
    "smtp_url": "smtp://app:k3xq-unguessed@mail.internal",
    "mail_from": "VibeStream <no-reply@vibestream.example>",
    "public_url": "https://vibestream.example",
}


@pytest.fixture(autouse=True)
def _no_settings_around(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    for name in Settings.model_fields:
        monkeypatch.delenv(f"VIBESTREAM_{name.upper()}", raising=False)


def test_nothing_given_means_embedded_servers() -> None:
    settings = Settings()
    assert (settings.postgres_url, settings.redis_url) == ("", "")
    assert settings.folder.is_absolute()


def test_secrets_do_not_show() -> None:
    settings = Settings(postgres_url=POSTGRES, redis_url=REDIS)
    assert "unguessed" not in f"{settings!r} {settings}"


@pytest.mark.parametrize(
    ("postgres_url", "redis_url", "named"),
    [
        ("", REDIS, "POSTGRES_URL"),
        (POSTGRES, "", "REDIS_URL"),
        ("postgresql://app@db/app", REDIS, "POSTGRES_URL"),
        ("postgresql://app:Password@db/app", REDIS, "POSTGRES_URL"),
        (POSTGRES, "redis://cache:6379/0", "REDIS_URL"),
    ],
)
def test_production_refuses_absent_and_well_known_secrets(
    postgres_url: str, redis_url: str, named: str
) -> None:
    with pytest.raises(ValidationError, match=f"VIBESTREAM_{named}") as caught:
        Settings(environment="production", postgres_url=postgres_url, redis_url=redis_url, **MAIL)
    assert "unguessed" not in str(caught.value)


def test_production_takes_secrets_from_files_and_variables_win(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "vibestream_postgres_url").write_text(POSTGRES, "utf-8")
    (tmp_path / "vibestream_redis_url").write_text("redis://:other@x/0", "utf-8")
    monkeypatch.setenv("VIBESTREAM_SECRETS_DIR", str(tmp_path))
    monkeypatch.setenv("VIBESTREAM_REDIS_URL", REDIS)
    settings = Settings(environment="production", **MAIL)
    assert (settings.postgres_url, settings.redis_url) == (POSTGRES, REDIS)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"smtp_url": ""}, "SMTP_URL"),
        ({"smtp_url": "smtp+plain://mail.internal"}, "SMTP_URL"),
        ({"smtp_url": "mail.internal"}, "SMTP_URL"),
        ({"mail_from": "VibeStream <no-reply@vibestream.invalid>"}, "MAIL_FROM"),
        ({"mail_from": "VibeStream"}, "MAIL_FROM"),
        ({"public_url": ""}, "PUBLIC_URL"),
        ({"public_url": "http://vibestream.example"}, "PUBLIC_URL"),
    ],
)
def test_production_refuses_mail_that_gives_tokens_away(change: dict[str, str], named: str) -> None:
    servers = {"postgres_url": POSTGRES, "redis_url": REDIS}
    with pytest.raises(ValidationError, match=f"VIBESTREAM_{named}") as caught:
        Settings(**{"environment": "production", **servers, **MAIL, **change})
    assert "unguessed" not in str(caught.value)


@pytest.mark.parametrize(
    "weak", [{"argon2_time_cost": 1}, {"argon2_memory_kib": 19_455}, {"argon2_lanes": 0}]
)
def test_hashing_has_a_floor(weak: dict[str, Any]) -> None:
    assert Settings().argon2_memory_kib == 65_536
    with pytest.raises(ValidationError, match=next(iter(weak))):
        Settings(**weak)


def test_links_lead_to_the_public_url() -> None:
    assert Settings().where == "http://127.0.0.1:8000"
    assert Settings(public_url="https://v.example/").where == "https://v.example"


def test_an_error_does_not_quote_a_value(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VIBESTREAM_HTTP_PORT", "hunter2")
    with pytest.raises(ValidationError) as caught:
        Settings()
    assert "hunter2" not in str(caught.value)


def test_production_refuses_keys_whose_proofs_anybody_can_forge() -> None:
    with pytest.raises(ValidationError, match="VIBESTREAM_TEST_PROOF_KEYS"):
        Settings(
            environment="production",
            test_proof_keys="keys",
            postgres_url=POSTGRES,
            redis_url=REDIS,
            **MAIL,
        )


def test_a_folder_of_test_keys_adds_versions_and_replaces_none(tmp_path: Path) -> None:
    own = proof_keys.versions(Settings())
    folder = Prover().write_artifacts(tmp_path)
    settings = Settings(test_proof_keys=str(folder))
    assert set(proof_keys.versions(settings)) == {*own, VERSION}
    assert proof_keys.read_keys(settings).keys() == {*own, VERSION}
    (folder / VERSION).rename(folder / own[0])
    pins = (folder / "pins.json").read_text("utf-8").replace(VERSION, own[0])
    (folder / "pins.json").write_text(pins, "utf-8")
    with pytest.raises(ArtifactError, match="pinned twice"):
        proof_keys.read_keys(settings)


GOOGLE = {"google_client_id": "id", "google_client_secret": "secret"}
APPLE = {
    "apple_client_id": "id",
    "apple_team_id": "team",
    "apple_key_id": "key",
    "apple_private_key": "k3xq-unguessed",
}


def test_a_registration_at_a_provider_is_whole() -> None:
    settings = Settings(**GOOGLE, **APPLE)  # type: ignore[arg-type]
    assert "unguessed" not in repr(settings)
    for whole in (GOOGLE, APPLE):
        for missing in whole:
            rest = {name: value for name, value in whole.items() if name != missing}
            with pytest.raises(ValidationError, match=f"VIBESTREAM_{missing.upper()}"):
                Settings(**rest)  # type: ignore[arg-type]


def test_a_provider_is_asked_by_tls() -> None:
    local = {"google_issuer": "http://127.0.0.1:4000/google"}
    Settings(**GOOGLE, **local)  # type: ignore[arg-type]
    with pytest.raises(ValidationError, match="VIBESTREAM_APPLE_ISSUER"):
        Settings(apple_issuer="http://apple.example")
    servers = {"postgres_url": POSTGRES, "redis_url": REDIS}
    with pytest.raises(ValidationError, match="VIBESTREAM_GOOGLE_ISSUER"):
        Settings(environment="production", **servers, **MAIL, **local)  # type: ignore[arg-type]


PAYPAL = {
    "paypal_client_id": "client",
    "paypal_client_secret": "k4xq-unguessed",
    "paypal_webhook_id": "1JE4291016473214C",
}


def test_an_account_at_paypal_is_whole() -> None:
    assert "unguessed" not in repr(Settings(**PAYPAL))  # type: ignore[arg-type]
    for missing in PAYPAL:
        rest = {name: value for name, value in PAYPAL.items() if name != missing}
        with pytest.raises(ValidationError, match=f"VIBESTREAM_{missing.upper()}"):
            Settings(**rest)  # type: ignore[arg-type]


def test_paypal_is_asked_by_tls_and_vouched_for_by_the_web() -> None:
    Settings(**PAYPAL, paypal_url="http://127.0.0.1:4000")  # type: ignore[arg-type]
    with pytest.raises(ValidationError, match="VIBESTREAM_PAYPAL_URL"):
        Settings(paypal_url="http://paypal.example")
    servers = {"postgres_url": POSTGRES, "redis_url": REDIS}
    sandbox = {"paypal_url": "https://api-m.sandbox.paypal.com"}
    Settings(environment="production", **servers, **MAIL, **PAYPAL, **sandbox)  # type: ignore[arg-type]
    for name, value in (("paypal_url", "http://127.0.0.1:4000"), ("paypal_webhook_roots", "PEM")):
        with pytest.raises(ValidationError, match=f"VIBESTREAM_{name.upper()}"):
            Settings(environment="production", **servers, **MAIL, **PAYPAL, **{name: value})  # type: ignore[arg-type]


COINBASE = {
    "coinbase_key_id": "organizations/o/apiKeys/k",
    "coinbase_key_secret": base64.b64encode(bytes(range(32))).decode(),
    "coinbase_webhook_secret": "k4xq-unguessed",
}


def test_an_account_at_coinbase_is_whole() -> None:
    settings = Settings(**COINBASE)  # type: ignore[arg-type]
    assert "unguessed" not in repr(settings)
    assert COINBASE["coinbase_key_secret"] not in repr(settings)
    for missing in COINBASE:
        rest = {name: value for name, value in COINBASE.items() if name != missing}
        with pytest.raises(ValidationError, match=f"VIBESTREAM_{missing.upper()}"):
            Settings(**rest)  # type: ignore[arg-type]
    with pytest.raises(ValidationError, match="VIBESTREAM_COINBASE_KEY_SECRET") as refused:
        Settings(**COINBASE | {"coinbase_key_secret": "no-key-unguessed"})  # type: ignore[arg-type]
    assert "unguessed" not in str(refused.value)


def test_coinbase_is_asked_by_tls() -> None:
    local = COINBASE | {"coinbase_url": "http://127.0.0.1:4000"}
    Settings(**local)  # type: ignore[arg-type]
    with pytest.raises(ValidationError, match="VIBESTREAM_COINBASE_URL"):
        Settings(coinbase_url="http://coinbase.example")
    servers = {"postgres_url": POSTGRES, "redis_url": REDIS}
    with pytest.raises(ValidationError, match="VIBESTREAM_COINBASE_URL"):
        Settings(environment="production", **servers, **MAIL, **local)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("url", "secret", "wrong"),
    [
        ("http://scorer.example/score", "k" * 16, "must be https"),
        ("https://scorer.example/score", "k" * 15, "16 characters"),
        ("https://scorer.example/score", "", "16 characters"),
    ],
)
def test_a_scorer_is_whole_and_nobody_listens_in(url: str, secret: str, wrong: str) -> None:
    with pytest.raises(ValidationError, match=wrong):
        Settings(risk_scorer_url=url, risk_scorer_secret=secret)


@pytest.mark.parametrize("url", ["https://scorer.example/score", "http://127.0.0.1:8099/score"])
def test_a_scorer_here_or_by_https(url: str) -> None:
    settings = Settings(risk_scorer_url=url, risk_scorer_secret="k3xq-unguessed-16")
    assert "unguessed" not in repr(settings)
