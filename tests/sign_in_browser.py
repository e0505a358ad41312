"""A person with a browser before the local stand-in of Google and Apple."""

from __future__ import annotations

import html
import re
from dataclasses import dataclass, field
from urllib.parse import parse_qsl, urljoin, urlsplit

import httpx

MIRA = {"google": "104820000000000000001", "apple": "001177.a1b2c3d4e5f60718293a4b5c6d7e8f90.0101"}
OF_A_COMPANY = "104820000000000000002"
OTHER_MAIL = "104820000000000000003"
UNVERIFIED = {
    "google": "104820000000000000004",
    "apple": "001177.c1b2c3d4e5f60718293a4b5c6d7e8f90.0103",
}
NO_ADDRESS = "104820000000000000005"
HIDDEN = "001177.b1b2c3d4e5f60718293a4b5c6d7e8f90.0102"


@dataclass(frozen=True)
class Returned:
    """What the provider has the browser bring to the callback, and how."""

    method: str
    url: str
    fields: dict[str, str] = field(default_factory=dict)

    @property
    def answer(self) -> dict[str, str]:
        """The parameters, wherever they stand."""
        return {**dict(parse_qsl(urlsplit(self.url).query)), **self.fields}


class Browser:
    """Cookies of its own; follows what a browser follows until something leaves the provider."""

    def __init__(self, provider_url: str) -> None:
        self.provider_url = provider_url
        self.http = httpx.AsyncClient(timeout=20, trust_env=False)

    async def __aenter__(self) -> Browser:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.http.aclose()

    async def sign_in(self, url: str, account: str, agree: bool = True) -> Returned:
        """Open the authorization URL, choose an account, agree or cancel."""
        answer = await self.http.get(url)
        for _ in range(10):
            if answer.has_redirect_location:
                target = urljoin(str(answer.url), answer.headers["location"])
                if not target.startswith(self.provider_url):
                    return Returned("GET", target)
                answer = await self.http.get(target)
                continue
            assert "text/html" in answer.headers["content-type"], answer.text
            action, fields = form_of(answer)
            if not action.startswith(self.provider_url):
                return Returned("POST", action, fields)
            chosen = {"account": account} if 'name="account"' in answer.text else {}
            agreed = {} if chosen else {"agree": "yes" if agree else "no"}
            answer = await self.http.post(action, data={**chosen, **agreed})
        raise AssertionError("a browser that goes in circles")


def form_of(answer: httpx.Response) -> tuple[str, dict[str, str]]:
    """The action of a page's form and its hidden fields."""
    found = re.search(r'<form method="post" action="([^"]*)"', answer.text)
    assert found is not None, answer.text
    fields = re.findall(r'<input type="hidden" name="([^"]*)" value="([^"]*)"', answer.text)
    action = urljoin(str(answer.url), html.unescape(found[1]))
    return action, {name: html.unescape(value) for name, value in fields}
