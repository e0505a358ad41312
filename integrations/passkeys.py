"""WebAuthn (W3C Level 3) over py_webauthn: options for browsers, and what authenticators answer.

No attestation is asked for: which maker an authenticator has decides nothing here. So of the
statements that may come, only none and self-attestation are taken.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import msgspec
import webauthn
from cbor2 import CBORDecodeError
from cryptography.exceptions import UnsupportedAlgorithm
from webauthn.helpers import (
    decode_credential_public_key,
    decoded_public_key_to_cryptography,
    parse_attestation_object,
    parse_authentication_credential_json,
    parse_client_data_json,
    parse_registration_credential_json,
)
from webauthn.helpers.exceptions import WebAuthnException
from webauthn.helpers.structs import (
    AttestationFormat,
    AuthenticatorSelectionCriteria,
    PublicKeyCredentialDescriptor,
    ResidentKeyRequirement,
    UserVerificationRequirement,
)

from messages.users_factors import PasskeyRefused

CHALLENGE_BYTES = 32
LOOPBACK = frozenset({"127.0.0.1", "::1"})
MAX_CREDENTIAL_ID_BYTES = 1_023  # WebAuthn 3, 7.1 step 25
# What parsers and OpenSSL raise for bodies and keys that are none.
MALFORMED = (
    WebAuthnException,
    CBORDecodeError,
    UnsupportedAlgorithm,
    ValueError,
    TypeError,
    KeyError,
    IndexError,
    AttributeError,
    OverflowError,
    RecursionError,
)

Json = Mapping[str, Any]


class NewCredential(msgspec.Struct, frozen=True):
    """What an authenticator made."""

    credential_id: bytes
    public_key: bytes
    sign_count: int
    aaguid: str
    transports: list[str]
    synced: bool


class Assertion(msgspec.Struct, frozen=True):
    """What a credential proved. `sign_count` is for the caller to judge."""

    sign_count: int
    user_verified: bool


@dataclass(frozen=True, slots=True)
class RelyingParty:
    """Who browsers show passkeys to: the host of the public address, and the pages that may ask."""

    rp_id: str
    origins: tuple[str, ...]
    name: str = "VibeStream"

    @staticmethod
    def of(public_url: str) -> RelyingParty:
        """The relying party whose pages come from `public_url`.

        Browsers take no IP address; on this machine they take `localhost`.
        """
        parts = urlsplit(public_url)
        assert parts.hostname, "the public address has a host"
        host = "localhost" if parts.hostname in LOOPBACK else parts.hostname
        port = f":{parts.port}" if parts.port else ""
        return RelyingParty(host, (f"{parts.scheme}://{host}{port}",))

    def registration_options(
        self, user_id: bytes, username: str, challenge: bytes, known: Sequence[bytes], wait_ms: int
    ) -> dict[str, Any]:
        """Options of navigator.credentials.create(), for a credential found without a name."""
        options = webauthn.generate_registration_options(
            rp_id=self.rp_id,
            rp_name=self.name,
            user_id=user_id,
            user_name=username,
            user_display_name=username,
            challenge=challenge,
            timeout=wait_ms,
            exclude_credentials=[PublicKeyCredentialDescriptor(id=each) for each in known],
            authenticator_selection=AuthenticatorSelectionCriteria(
                resident_key=ResidentKeyRequirement.PREFERRED,
                user_verification=UserVerificationRequirement.PREFERRED,
            ),
        )
        return _json(options)

    def sign_in_options(
        self, challenge: bytes, allowed: Sequence[bytes], wait_ms: int, *, verified: bool
    ) -> dict[str, Any]:
        """Options of navigator.credentials.get(). `allowed` empty: any credential of ours.

        verified: whether the authenticator must know its user (by PIN, finger, face).
        """
        need = UserVerificationRequirement
        options = webauthn.generate_authentication_options(
            rp_id=self.rp_id,
            challenge=challenge,
            timeout=wait_ms,
            allow_credentials=[PublicKeyCredentialDescriptor(id=each) for each in allowed],
            user_verification=need.REQUIRED if verified else need.PREFERRED,
        )
        return _json(options)

    def check_registration(self, credential: Json, challenge: bytes) -> NewCredential:
        """The credential that answers `challenge`. Raises PasskeyRefused."""
        try:
            parsed = parse_registration_credential_json(dict(credential))
            statement = parse_attestation_object(parsed.response.attestation_object)
            if statement.fmt not in {AttestationFormat.NONE, AttestationFormat.PACKED}:
                raise PasskeyRefused("the attestation is of a kind that was not asked for")
            if statement.att_stmt.x5c:
                raise PasskeyRefused("the attestation has certificates that were not asked for")
            _same_origin(parsed.response.client_data_json)
            found = webauthn.verify_registration_response(
                credential=parsed,
                expected_challenge=challenge,
                expected_rp_id=self.rp_id,
                expected_origin=list(self.origins),
            )
            _key(found.credential_public_key)
        except MALFORMED as error:
            raise PasskeyRefused from error
        if parsed.raw_id != found.credential_id:
            raise PasskeyRefused("the answer and the authenticator name two credentials")
        if len(found.credential_id) > MAX_CREDENTIAL_ID_BYTES:
            raise PasskeyRefused("the credential id is too long")
        given = parsed.response.transports or []
        return NewCredential(
            credential_id=found.credential_id,
            public_key=found.credential_public_key,
            sign_count=found.sign_count,
            aaguid=found.aaguid,
            transports=sorted({transport.value for transport in given}),
            synced=found.credential_device_type.value == "multi_device",
        )

    def check_assertion(
        self, credential: Json, challenge: bytes, public_key: bytes, *, verified: bool
    ) -> Assertion:
        """What a credential with `public_key` proved by its answer. Raises PasskeyRefused."""
        try:
            parsed = parse_authentication_credential_json(dict(credential))
            _same_origin(parsed.response.client_data_json)
            found = webauthn.verify_authentication_response(
                credential=parsed,
                expected_challenge=challenge,
                expected_rp_id=self.rp_id,
                expected_origin=list(self.origins),
                credential_public_key=public_key,
                # Judged by the caller once the signature is known to be good: who may copy a
                # credential must not be told from who cannot sign.
                credential_current_sign_count=0,
                require_user_verification=verified,
            )
        except MALFORMED as error:
            raise PasskeyRefused from error
        return Assertion(found.new_sign_count, found.user_verified)


def new_challenge() -> bytes:
    """A challenge that nobody can guess."""
    return secrets.token_bytes(CHALLENGE_BYTES)


def credential_id_of(credential: Json) -> bytes:
    """The id that an answer names. Raises PasskeyRefused."""
    named = credential.get("id")
    try:
        if not isinstance(named, str):
            raise PasskeyRefused("the answer names no credential")
        return webauthn.base64url_to_bytes(named)
    except ValueError:
        raise PasskeyRefused("the credential id is not base64url") from None


def user_handle_of(credential: Json) -> bytes | None:
    """The user that the authenticator says the credential is of. Raises PasskeyRefused."""
    response = credential.get("response")
    handle = response.get("userHandle") if isinstance(response, dict) else None
    if handle is None:
        return None
    try:
        return webauthn.base64url_to_bytes(handle)
    except MALFORMED:
        raise PasskeyRefused("the user handle is not base64url") from None


def _key(cose: bytes) -> object:
    """The key, which the library decodes without asking whether it is one."""
    return decoded_public_key_to_cryptography(decode_credential_public_key(cose))


def _json(options: Any) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(webauthn.options_to_json(options))
    return found


def _same_origin(client_data: bytes) -> None:
    """Refuse what was asked for in a frame of another origin (WebAuthn 3, 7.1 step 10)."""
    if parse_client_data_json(client_data).cross_origin:
        raise PasskeyRefused("the answer was given in a frame of another page")
