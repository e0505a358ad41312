"""Signing in with Google and Apple: who vouches, what may be refused, what happened."""

from __future__ import annotations

from enum import StrEnum

import msgspec

from messages.errors import Conflict, Forbidden, Invalid, NotFound


class Provider(StrEnum):
    """Who vouches for a user."""

    GOOGLE = "google"
    APPLE = "apple"


# --- errors -------------------------------------------------------------------------------------


class ProviderNotConfigured(NotFound):
    """This way of signing in is not offered here."""

    code = "identity-provider-not-configured"


class ReturnUrlNotAllowed(Invalid):
    """The browser may not be sent to this address."""

    code = "return-url-not-allowed"


class ExternalSignInInvalid(Invalid):
    """This sign-in is over, was used, or was begun elsewhere; begin again."""

    code = "external-sign-in-invalid"


class ExternalSignInCancelled(Forbidden):
    """The sign-in was cancelled at the provider."""

    code = "external-sign-in-cancelled"


class ProviderAnswerRefused(Forbidden):
    """The provider's answer cannot be trusted; begin again."""

    code = "provider-answer-refused"


class ExternalEmailUnverified(Forbidden):
    """The provider does not vouch for an e-mail address; register with a password and link."""

    code = "external-email-unverified"


class ExternalEmailTaken(Conflict):
    """An account has this e-mail address: sign in to it as before, then link."""

    code = "external-email-taken"


class ExternalIdentityTaken(Conflict):
    """This identity is linked with another account."""

    code = "external-identity-taken"


class TooManyExternalIdentities(Conflict):
    """An account has at most this many linked identities."""

    code = "external-identities-limit"


class ExternalIdentityNotFound(NotFound):
    """You have not linked this identity."""

    code = "external-identity-not-found"


class LastWayToSignIn(Conflict):
    """Without this identity nobody could sign in to the account; set a password first."""

    code = "last-way-to-sign-in"


# --- events -------------------------------------------------------------------------------------


class ExternalIdentityLinked(msgspec.Struct, frozen=True, tag=True):
    """Public, to its user: the account can be signed in to by way of the provider."""

    user_id: str
    identity_id: str
    provider: Provider
    at_ms: int


class ExternalIdentityUnlinked(msgspec.Struct, frozen=True, tag=True):
    """Public, to its user: no longer. `by_provider`: the provider said that the person left."""

    user_id: str
    identity_id: str
    provider: Provider
    by_provider: bool
    at_ms: int


ExternalEvent = ExternalIdentityLinked | ExternalIdentityUnlinked
