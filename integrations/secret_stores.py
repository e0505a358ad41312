"""Where secrets are kept: AWS Secrets Manager, AWS Parameter Store, HashiCorp Vault (or OpenBao).

A store is named by a URL without any secret in it:

    aws-secrets-manager://REGION/SECRET-ID     a secret whose text is one JSON object
    aws-ssm://REGION/PATH                      the parameters below /PATH, decrypted
    vault://HOST[:PORT]/MOUNT/PATH?auth=…      the newest version of a key-value (version 2) secret

Each gives values by setting name, as `postgres_url` or `VIBESTREAM_POSTGRES_URL`. How the process
proves itself to the store comes from its surroundings: AWS as its library finds it (environment,
files, the machine's role); Vault by `auth=token` (VAULT_TOKEN), `auth=approle` (VAULT_ROLE_ID,
VAULT_SECRET_ID) or `auth=kubernetes&role=…`; `tls=off` is for a server on this machine. Any of
Vault's variables may name a file instead, as VAULT_TOKEN_FILE.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import parse_qs, unquote, urlsplit

PREFIX = "vibestream_"
TIMEOUT_S = 5
LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})
SERVICE_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount/token")


class SecretStoreError(Exception):
    """The store cannot be read. Says which and what kind of thing went wrong, never a value."""


class SecretStore(Protocol):
    """A place that secrets are read from."""

    def read(self) -> Mapping[str, str]:
        """All values, by setting name without prefix. Blocks. Raises SecretStoreError."""


def open_store(url: str) -> SecretStore:
    """The store that a URL names. Nothing is connected yet. ValueError if it names none."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise ValueError("not a URL of a secret store") from None
    if parts.password is not None or parts.username is not None:
        raise ValueError("a secret store's URL holds no credentials")
    path, asked = unquote(parts.path).strip("/"), parse_qs(parts.query)
    host = parts.hostname or ""
    if not host or not path:
        raise ValueError("a secret store's URL is like vault://host:8200/mount/path")
    match parts.scheme:
        case "aws-secrets-manager":
            return SecretsManagerStore(host, path)
        case "aws-ssm":
            return ParameterStore(host, f"/{path}")
        case "vault":
            options = {name: values[-1] for name, values in asked.items()}
            return _vault(host, port or 8200, path, options)
    raise ValueError(f"no secret store is called {parts.scheme!r}")


class SecretsManagerStore:
    """One secret of AWS Secrets Manager, a JSON object."""

    def __init__(self, region: str, secret_id: str) -> None:
        self._region, self._secret_id = region, secret_id

    def read(self) -> Mapping[str, str]:
        """See SecretStore."""
        try:
            found = _aws("secretsmanager", self._region).get_secret_value(SecretId=self._secret_id)
            return named(json.loads(found["SecretString"]))
        except Exception as error:  # noqa: BLE001 - theirs are many, and none may be shown
            raise _failed("AWS Secrets Manager", error) from None


class ParameterStore:
    """The parameters below a path of AWS Systems Manager."""

    def __init__(self, region: str, path: str) -> None:
        self._region, self._path = region, path

    def read(self) -> Mapping[str, str]:
        """See SecretStore."""
        try:
            pages = _aws("ssm", self._region).get_paginator("get_parameters_by_path")
            asked = pages.paginate(Path=self._path, Recursive=True, WithDecryption=True)
            return named(
                {
                    parameter["Name"].rpartition("/")[2]: parameter["Value"]
                    for page in asked
                    for parameter in page["Parameters"]
                }
            )
        except Exception as error:  # noqa: BLE001 - theirs are many, and none may be shown
            raise _failed("AWS Parameter Store", error) from None


class VaultStore:
    """A secret of Vault's key-value engine, version 2."""

    def __init__(self, url: str, mount: str, path: str, options: Mapping[str, str]) -> None:
        self._url, self._mount, self._path, self._options = url, mount, path, options
        self._client: Any = None

    def read(self) -> Mapping[str, str]:
        """See SecretStore."""
        from hvac.exceptions import Forbidden, Unauthorized

        try:
            if self._client is not None:
                try:
                    return self._values()
                except (Forbidden, Unauthorized):
                    pass  # a token does not live for ever
            self._client = self._signed_in()
            return self._values()
        except Exception as error:  # noqa: BLE001 - theirs are many, and none may be shown
            self._client = None
            raise _failed("Vault", error) from None

    def _values(self) -> Mapping[str, str]:
        kv = self._client.secrets.kv.v2
        found = kv.read_secret_version(
            path=self._path, mount_point=self._mount, raise_on_deleted_version=True
        )
        return named(found["data"]["data"])

    def _signed_in(self) -> Any:
        import hvac

        client = hvac.Client(url=self._url, timeout=TIMEOUT_S)
        match self._options.get("auth", "token"):
            case "approle":
                role_id, secret_id = _given("VAULT_ROLE_ID"), _given("VAULT_SECRET_ID")
                client.auth.approle.login(role_id=role_id, secret_id=secret_id)
            case "kubernetes":
                token = _given("VAULT_KUBERNETES_TOKEN", SERVICE_ACCOUNT)
                client.auth.kubernetes.login(role=self._options["role"], jwt=token)
            case _:
                client.token = _given("VAULT_TOKEN")
        return client


def named(values: Any) -> Mapping[str, str]:
    """Values by setting name: lower case, without the prefix. TypeError if they are no texts."""
    if not isinstance(values, dict) or not all(isinstance(v, str) for v in values.values()):
        raise TypeError("a secret is an object of texts")
    return {str(name).lower().removeprefix(PREFIX): value for name, value in values.items()}


def _vault(host: str, port: int, path: str, options: Mapping[str, str]) -> VaultStore:
    mount, _, rest = path.partition("/")
    auth = options.get("auth", "token")
    if not rest or auth not in {"token", "approle", "kubernetes"}:
        raise ValueError("vault://host:port/mount/path?auth=token, approle or kubernetes")
    if auth == "kubernetes" and not options.get("role"):
        raise ValueError("auth=kubernetes needs a role")
    if options.get("tls") == "off" and host not in LOOPBACK:
        raise ValueError("tls=off is for a server on this machine")
    scheme = "http" if options.get("tls") == "off" else "https"
    shown = f"[{host}]" if ":" in host else host
    return VaultStore(f"{scheme}://{shown}:{port}", mount, rest, options)


def _aws(service: str, region: str) -> Any:
    import boto3
    from botocore.config import Config

    retries = {"max_attempts": 2, "mode": "standard"}
    config = Config(connect_timeout=TIMEOUT_S, read_timeout=TIMEOUT_S, retries=retries)
    return boto3.session.Session().client(service, region_name=region, config=config)


def _given(variable: str, file: Path | None = None) -> str:
    """A credential from the environment, or from the file that it names."""
    if value := os.environ.get(variable):
        return value
    if named_file := os.environ.get(f"{variable}_FILE"):
        file = Path(named_file)
    if file is None:
        raise LookupError(variable)
    return file.read_text("utf-8").strip()


def _failed(store: str, error: Exception) -> SecretStoreError:
    # Their own words may hold what was sent. AWS's errors have a code, which says enough.
    response = getattr(error, "response", None)
    code = response.get("Error", {}).get("Code", "") if isinstance(response, dict) else ""
    if isinstance(error, LookupError) and error.args and str(error.args[0]).startswith("VAULT_"):
        code = f"{error.args[0]} is not set"
    return SecretStoreError(f"{store}: {type(error).__name__}{f' ({code})' if code else ''}")
