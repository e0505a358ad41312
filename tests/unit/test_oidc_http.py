"""A provider that fails in any way is Unavailable, soon, and left alone for a while."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import httpx
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from joserfc.jwk import RSAKey

from integrations.breaker import CircuitBreaker
from integrations.oidc_http import MAX_ANSWER_BYTES, ProviderHttp
from integrations.oidc_metadata import Published, is_safe, read_metadata
from messages.errors import Unavailable
from messages.users_external import ProviderAnswerRefused

ISSUER = "https://accounts.example"
METADATA = {
    "issuer": ISSUER,
    "authorization_endpoint": f"{ISSUER}/auth",
    "token_endpoint": f"{ISSUER}/token",
    "jwks_uri": f"{ISSUER}/jwks",
}
PUBLIC = RSAKey.import_key(rsa.generate_private_key(65_537, 2_048)).as_dict(private=False)
KEY = {**PUBLIC, "alg": "RS256", "use": "sig"}


class Seconds:
    def __init__(self) -> None:
        self.now_s = 1_000.0

    def __call__(self) -> float:
        return self.now_s


def http_of(
    answer: Callable[[httpx.Request], Any], seconds: Seconds | None = None, call_s: float = 5.0
) -> ProviderHttp:
    client = httpx.AsyncClient(transport=httpx.MockTransport(answer))
    return ProviderHttp(client, CircuitBreaker(3, 10.0, seconds or Seconds()), call_s)


async def slowly() -> AsyncIterator[bytes]:
    while True:
        yield b" "
        await asyncio.sleep(0.01)


async def hang(_: httpx.Request) -> httpx.Response:
    await asyncio.sleep(3_600)
    raise AssertionError


def refuse(_: httpx.Request) -> httpx.Response:
    raise httpx.ConnectError("refused")


FAILURES: dict[str, Callable[[httpx.Request], Any]] = {
    "refused": refuse,
    "500": lambda _: httpx.Response(500, json={}),
    "429": lambda _: httpx.Response(429, json={}),
    "redirect": lambda _: httpx.Response(302, headers={"location": "https://evil.example"}),
    "not JSON": lambda _: httpx.Response(200, text="<html>"),
    "no object": lambda _: httpx.Response(200, json=[1]),
    "too long": lambda _: httpx.Response(200, content=b" " * (MAX_ANSWER_BYTES + 1)),
    "404": lambda _: httpx.Response(404, json={}),
    "hangs": hang,
    "trickles": lambda _: httpx.Response(200, content=slowly()),
}


@pytest.mark.parametrize("name", FAILURES)
async def test_each_failure_is_unavailable(name: str) -> None:
    http = http_of(FAILURES[name], call_s=0.2)
    with pytest.raises(Unavailable):
        await http.get(ISSUER)


async def test_after_failures_in_a_row_nobody_is_asked_until_one_tries() -> None:
    seconds, asked, works = Seconds(), [], False

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(request.url)
        return httpx.Response(200 if works else 503, json={})

    http = http_of(answer, seconds)
    for _ in range(5):
        with pytest.raises(Unavailable) as refused:
            await http.get(ISSUER)
    assert len(asked) == 3
    assert refused.value.retry_after_ms == 10_000
    seconds.now_s += 10.0
    with pytest.raises(Unavailable):
        await http.get(ISSUER)
    assert len(asked) == 4, "one tried, and found it still out of order"
    seconds.now_s += 10.0
    works = True
    for _ in range(2):
        assert await http.get(ISSUER) == {}
    works = False
    with pytest.raises(Unavailable):
        await http.get(ISSUER)
    works = True
    assert await http.get(ISSUER) == {}, "one failure opens nothing"


async def test_while_one_tries_the_others_are_refused() -> None:
    seconds = Seconds()
    breaker = CircuitBreaker(1, 10.0, seconds)
    breaker.failed()
    seconds.now_s += 10.0
    breaker.check()
    with pytest.raises(Unavailable):
        breaker.check()


async def test_metadata_and_keys_are_kept_and_an_unknown_key_looks_up_with_a_floor() -> None:
    seconds, asked, keys = Seconds(), [], ["a"]

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(request.url.path)
        if request.url.path == "/jwks":
            return httpx.Response(200, json={"keys": [{**KEY, "kid": kid} for kid in keys]})
        return httpx.Response(200, json=METADATA)

    published = Published(ISSUER, http_of(answer), seconds)
    await asyncio.gather(*(published.metadata() for _ in range(10)))
    await asyncio.gather(*(published.key("a") for _ in range(10)))
    assert asked == ["/.well-known/openid-configuration", "/jwks"]
    keys.append("b")
    for _ in range(3):
        with pytest.raises(ProviderAnswerRefused):
            await published.key("b")
    assert len(asked) == 2, "the floor"
    seconds.now_s += 30.0
    await published.key("b")
    assert len(asked) == 3
    seconds.now_s += 3_600.0
    keys.remove("a")
    await published.key("b")
    with pytest.raises(ProviderAnswerRefused):
        await published.key("a")
    assert asked[3:] == ["/.well-known/openid-configuration", "/jwks"], "an hour later"


async def test_who_waits_for_a_provider_that_hangs_does_not_wait_in_a_row() -> None:
    published = Published(ISSUER, http_of(hang, call_s=0.2))
    waited = [asyncio.create_task(published.metadata()) for _ in range(20)]
    done, _ = await asyncio.wait(waited, timeout=30)
    assert len(done) == 20
    assert all(isinstance(task.exception(), Unavailable) for task in done)


@pytest.mark.parametrize(
    "change",
    [
        {"issuer": "https://accounts.example/"},
        {"issuer": None},
        {"token_endpoint": "http://accounts.example/token"},
        {"jwks_uri": "file:///etc/passwd"},
        {"authorization_endpoint": "javascript:alert(1)"},
        {"authorization_endpoint": "https://["},
        {"token_endpoint": 7},
    ],
)
def test_metadata_that_cannot_be_trusted_are_not_used(change: dict[str, Any]) -> None:
    assert read_metadata(dict(METADATA), ISSUER).token_endpoint == f"{ISSUER}/token"
    with pytest.raises(Unavailable):
        read_metadata({**METADATA, **change}, ISSUER)


def test_plain_http_is_for_this_machine() -> None:
    assert is_safe("http://127.0.0.1:4000/google")
    assert not is_safe("http://127.0.0.1.evil.example/google")
    assert not is_safe("")
