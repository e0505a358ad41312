"""Our client against a certified provider that speaks as Google and as Apple do."""

from __future__ import annotations

import json
import secrets
from collections.abc import AsyncIterator, Mapping
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from joserfc import jwt
from joserfc.jwk import ECKey

from deployments.composition.identity import callback_url, open_identity_providers
from deployments.launcher.identity import EmbeddedIdentity
from domain.users_external import ProvenIdentity
from integrations.oidc import Challenge, IdentityProvider, ResponseMode
from integrations.oidc_client import OidcClient, code_challenge
from integrations.oidc_http import open_http
from messages.errors import Unavailable
from messages.users_external import Provider, ProviderAnswerRefused
from tests.identity_fixture import WHERE, now_ms, settings_of
from tests.sign_in_browser import (
    HIDDEN,
    MIRA,
    NO_ADDRESS,
    OF_A_COMPANY,
    OTHER_MAIL,
    UNVERIFIED,
    Browser,
    Returned,
)

BOTH = pytest.mark.parametrize("provider", list(Provider))


@pytest.fixture
async def client() -> AsyncIterator[httpx.AsyncClient]:
    async with open_http() as opened:
        yield opened


@pytest.fixture
def providers(
    identity_server: EmbeddedIdentity, client: httpx.AsyncClient
) -> Mapping[Provider, IdentityProvider]:
    return open_identity_providers(settings_of(identity_server), client, now_ms)


def challenge() -> Challenge:
    return Challenge(*(secrets.token_urlsafe(32) for _ in range(3)))


async def sign_in(
    server: EmbeddedIdentity,
    provider: IdentityProvider,
    made: Challenge,
    account: str,
    agree: bool = True,
) -> Returned:
    async with Browser(server.url) as browser:
        return await browser.sign_in(await provider.authorization_url(made), account, agree)


async def identify(
    server: EmbeddedIdentity, provider: IdentityProvider, account: str
) -> ProvenIdentity:
    made = challenge()
    answer = (await sign_in(server, provider, made, account)).answer
    assert answer["state"] == made.state
    return await provider.identify(made, answer["code"], answer)


async def test_google_vouches(
    identity_server: EmbeddedIdentity, providers: Mapping[Provider, IdentityProvider]
) -> None:
    google = providers[Provider.GOOGLE]
    proven = await identify(identity_server, google, MIRA["google"])
    assert proven == ProvenIdentity(
        Provider.GOOGLE, MIRA["google"], "mira.solano@gmail.com", True, True
    )
    company = await identify(identity_server, google, OF_A_COMPANY)
    assert (company.email, company.is_email_authoritative) == ("teo@harbour-sound.example", True)
    other = await identify(identity_server, google, OTHER_MAIL)
    assert (other.is_email_verified, other.is_email_authoritative) == (True, False)
    unverified = await identify(identity_server, google, UNVERIFIED["google"])
    assert (unverified.is_email_verified, unverified.is_email_authoritative) == (False, False)
    assert (await identify(identity_server, google, NO_ADDRESS)).email is None


async def test_apple_vouches(
    identity_server: EmbeddedIdentity, providers: Mapping[Provider, IdentityProvider]
) -> None:
    apple = providers[Provider.APPLE]
    proven = await identify(identity_server, apple, MIRA["apple"])
    assert proven == ProvenIdentity(Provider.APPLE, MIRA["apple"], "mira@icloud.com", True, True)
    hidden = await identify(identity_server, apple, HIDDEN)
    assert hidden.email is not None
    assert hidden.email.endswith("@privaterelay.appleid.com")
    assert (hidden.is_email_verified, hidden.is_email_authoritative) == (True, True)
    unverified = await identify(identity_server, apple, UNVERIFIED["apple"])
    assert unverified.is_email_verified is False


async def test_google_is_asked_with_pkce_and_answers_in_the_query_with_its_name(
    identity_server: EmbeddedIdentity, providers: Mapping[Provider, IdentityProvider]
) -> None:
    google, made = providers[Provider.GOOGLE], challenge()
    asked = parse_qs(urlsplit(await google.authorization_url(made)).query)
    assert asked["code_challenge"] == [code_challenge(made.verifier)]
    assert asked["code_challenge_method"] == ["S256"]
    assert asked["nonce"] == [made.nonce]
    returned = await sign_in(identity_server, google, made, MIRA["google"])
    assert returned.method == "GET"
    assert returned.url.startswith(callback_url(WHERE, Provider.GOOGLE) + "?")
    assert returned.answer["iss"] == f"{identity_server.url}/google"


async def test_apple_posts_a_form_and_tells_the_person_once(
    identity_server: EmbeddedIdentity, providers: Mapping[Provider, IdentityProvider]
) -> None:
    apple = providers[Provider.APPLE]
    assert apple.response_mode is ResponseMode.FORM_POST
    async with httpx.AsyncClient(trust_env=False) as control:
        await control.post(f"{identity_server.url}/control/apple/forget")
    first = await sign_in(identity_server, apple, challenge(), MIRA["apple"])
    assert (first.method, first.url) == ("POST", callback_url(WHERE, Provider.APPLE))
    assert json.loads(first.fields["user"]) == {"email": "mira@icloud.com"}
    assert "iss" not in first.fields
    second = await sign_in(identity_server, apple, challenge(), MIRA["apple"])
    assert set(second.fields) == {"code", "state"}


@BOTH
async def test_who_cancels_is_an_error_with_the_state(
    identity_server: EmbeddedIdentity,
    providers: Mapping[Provider, IdentityProvider],
    provider: Provider,
) -> None:
    made = challenge()
    returned = await sign_in(
        identity_server, providers[provider], made, MIRA[provider], agree=False
    )
    assert returned.answer["error"] == "access_denied"
    assert returned.answer["state"] == made.state


@BOTH
async def test_a_code_counts_once_and_for_its_own_sign_in(
    identity_server: EmbeddedIdentity,
    providers: Mapping[Provider, IdentityProvider],
    provider: Provider,
) -> None:
    asked, made, other = providers[provider], challenge(), challenge()
    answer = (await sign_in(identity_server, asked, made, MIRA[provider])).answer
    assert (await asked.identify(made, answer["code"], answer)).subject == MIRA[provider]
    with pytest.raises(ProviderAnswerRefused, match="code"):
        await asked.identify(made, answer["code"], answer)
    injected = (await sign_in(identity_server, asked, made, MIRA[provider])).answer
    protection = "code" if provider is Provider.GOOGLE else "nonce"  # PKCE, or the nonce alone
    with pytest.raises(ProviderAnswerRefused, match=protection):
        await asked.identify(other, injected["code"], injected)
    with pytest.raises(ProviderAnswerRefused, match="code"):
        await asked.identify(made, "no such code", answer)


async def test_another_providers_answer_is_not_taken(
    identity_server: EmbeddedIdentity, providers: Mapping[Provider, IdentityProvider]
) -> None:
    google, made = providers[Provider.GOOGLE], challenge()
    answer = (await sign_in(identity_server, google, made, MIRA["google"])).answer
    for wrong in ({**answer, "iss": f"{identity_server.url}/apple"}, {"code": answer["code"]}):
        with pytest.raises(ProviderAnswerRefused, match="issuer"):
            await google.identify(made, answer["code"], wrong)
    with pytest.raises(ProviderAnswerRefused, match="code"):
        await providers[Provider.APPLE].identify(made, answer["code"], {})
    assert (await google.identify(made, answer["code"], answer)).subject == MIRA["google"]


@BOTH
async def test_a_new_key_is_looked_up(
    identity_server: EmbeddedIdentity,
    providers: Mapping[Provider, IdentityProvider],
    provider: Provider,
) -> None:
    asked = providers[provider]
    assert isinstance(asked, OidcClient)
    await identify(identity_server, asked, MIRA[provider])
    asked._published._keys_at_s -= 31  # the floor between two looks is over
    async with httpx.AsyncClient(trust_env=False) as control:
        await control.post(f"{identity_server.url}/control/{provider}/rotate-keys")
    assert (await identify(identity_server, asked, MIRA[provider])).subject == MIRA[provider]


@pytest.mark.parametrize("change", ["key", "team", "key id", "client", "secret"])
async def test_who_is_not_registered_is_told_so_by_the_provider(
    identity_server: EmbeddedIdentity, client: httpx.AsyncClient, change: str
) -> None:
    """Apple's secret is verified as a JWT: by key, key id, issuer, subject."""
    settings = settings_of(identity_server)
    good = open_identity_providers(settings, client, now_ms)
    which = Provider.GOOGLE if change == "secret" else Provider.APPLE
    made = challenge()
    answer = (await sign_in(identity_server, good[which], made, MIRA[which])).answer
    stranger = ec.generate_private_key(ec.SECP256R1())
    pem = stranger.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    changes = {
        "key": {"apple_private_key": pem},
        "team": {"apple_team_id": "OTHERTEAM0"},
        "key id": {"apple_key_id": "OTHERKEY00"},
        "client": {"apple_client_id": "somebody.else"},
        "secret": {"google_client_secret": "guessed"},
    }
    bad = open_identity_providers(settings.model_copy(update=changes[change]), client, now_ms)
    with pytest.raises(Unavailable, match="refuses us"):
        await bad[which].identify(made, answer["code"], answer)
    assert (await good[which].identify(made, answer["code"], answer)).subject == MIRA[which]


@pytest.mark.parametrize(
    "change",
    [{}, {"iss": "OTHER"}, {"sub": "other"}, {"aud": "other"}, {"exp": 1}, {"exp": 2**34}],
    ids=str,
)
async def test_the_stand_in_of_apple_reads_each_claim_of_a_secret(
    identity_server: EmbeddedIdentity,
    providers: Mapping[Provider, IdentityProvider],
    client: httpx.AsyncClient,
    change: dict[str, str | int],
) -> None:
    """Otherwise a client that is wrong would pass here and fail at Apple."""
    settings, made = settings_of(identity_server), challenge()
    answer = (await sign_in(identity_server, providers[Provider.APPLE], made, MIRA["apple"])).answer
    now_s = now_ms() // 1_000
    claims = {
        "iss": settings.apple_team_id, "sub": settings.apple_client_id,
        "aud": settings.apple_issuer, "iat": now_s, "exp": now_s + 300, **change,
    }  # fmt: skip
    key = ECKey.import_key(settings.apple_private_key)
    form = {
        "grant_type": "authorization_code",
        "code": answer["code"],
        "redirect_uri": callback_url(WHERE, Provider.APPLE),
        "client_id": settings.apple_client_id,
        "client_secret": jwt.encode({"alg": "ES256", "kid": settings.apple_key_id}, claims, key),
    }
    exchanged = await client.post(f"{settings.apple_issuer}/token", data=form)
    assert exchanged.status_code == (401 if change else 200), exchanged.text
    assert exchanged.json().get("error") == ("invalid_client" if change else None)


async def test_an_old_client_secret_is_none(
    identity_server: EmbeddedIdentity, client: httpx.AsyncClient
) -> None:
    settings = settings_of(identity_server)
    late = open_identity_providers(settings, client, lambda: now_ms() - 3_600_000)
    made = challenge()
    answer = (await sign_in(identity_server, late[Provider.APPLE], made, MIRA["apple"])).answer
    with pytest.raises(Unavailable, match="refuses us"):
        await late[Provider.APPLE].identify(made, answer["code"], answer)


async def test_a_token_of_another_moment_is_refused(
    identity_server: EmbeddedIdentity, client: httpx.AsyncClient
) -> None:
    settings = settings_of(identity_server)
    for shift_ms in (-3_600_000, 3_600_000):

        def clock(shift_ms: int = shift_ms) -> int:
            return now_ms() + shift_ms

        ahead = open_identity_providers(settings, client, clock)
        with pytest.raises(ProviderAnswerRefused, match=r"expired|another time"):
            await identify(identity_server, ahead[Provider.GOOGLE], MIRA["google"])


async def test_apples_notices_are_read_and_only_apples(
    identity_server: EmbeddedIdentity,
    providers: Mapping[Provider, IdentityProvider],
    client: httpx.AsyncClient,
) -> None:
    event = {"type": "consent-revoked", "sub": MIRA["apple"]}
    async with httpx.AsyncClient(trust_env=False) as control:
        url = f"{identity_server.url}/control"
        token = (await control.post(f"{url}/apple/notice", json=event)).text
        googles = (await control.post(f"{url}/google/notice", json=event)).text
        to_app = {**event, "aud": "app.of.ours"}
        elsewhere = (await control.post(f"{url}/apple/notice", json=to_app)).text
        shapeless = (await control.post(f"{url}/apple/notice", json={"type": 7})).text
    apple = providers[Provider.APPLE]
    notice = await apple.read_notice(token)
    assert (notice.kind, notice.subject) == ("consent-revoked", MIRA["apple"])
    for bad in (googles, shapeless, elsewhere, token[:-6] + "AAAAAA", "", "a.b.c"):
        with pytest.raises(ProviderAnswerRefused):
            await apple.read_notice(bad)
    with pytest.raises(ProviderAnswerRefused):
        await providers[Provider.GOOGLE].read_notice(googles)
    settings = settings_of(identity_server).model_copy(update={"apple_app_id": "app.of.ours"})
    grouped = open_identity_providers(settings, client, now_ms)[Provider.APPLE]
    for good in (token, elsewhere):
        assert (await grouped.read_notice(good)).subject == MIRA["apple"]
