"""The port to who vouches for users: OpenID Connect with Google and Apple."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Protocol

import msgspec

from domain.users_external import ProvenIdentity
from integrations.opaque_tokens import new_token
from messages.users_external import Provider


class ResponseMode(StrEnum):
    """How the provider answers through the browser: in the callback's query or as a posted form."""

    QUERY = "query"
    FORM_POST = "form_post"


class Challenge(msgspec.Struct, frozen=True):
    """The secrets of one authorization. `verifier` is PKCE's (RFC 7636)."""

    state: str
    nonce: str
    verifier: str


class Notice(msgspec.Struct, frozen=True):
    """What a provider tells of a person by itself: `kind` is its own word for what happened."""

    notice_id: str
    kind: str
    subject: str


class IdentityProvider(Protocol):
    """A provider at which we are registered."""

    @property
    def provider(self) -> Provider:
        """Which."""

    @property
    def response_mode(self) -> ResponseMode:
        """How it answers."""

    async def authorization_url(self, challenge: Challenge) -> str:
        """Where to send the browser. Raises Unavailable."""

    async def identify(
        self, challenge: Challenge, code: str, answer: Mapping[str, str]
    ) -> ProvenIdentity:
        """Whom the provider vouches for, in exchange for the code of its answer.

        answer: all that came back with the code. Raises ProviderAnswerRefused or Unavailable.
        """

    async def read_notice(self, token: str) -> Notice:
        """A signed notice. Raises ProviderAnswerRefused or Unavailable."""


def new_challenge() -> Challenge:
    """Fresh secrets, 256 bits each."""
    return Challenge(new_token(), new_token(), new_token())
