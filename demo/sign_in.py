"""Signing in with Google as a person does, before the stand-in that `make run` starts."""

from __future__ import annotations

import re
from urllib.parse import parse_qs, urljoin, urlsplit

import httpx

from demo.client import API, TIMEOUT_S, Refused
from demo.player import Tell

RETURN_URL = "http://127.0.0.1:9/signed-in"  # of a page that is opened nowhere: the code is read
LOOPBACK = "127.0.0.1"
MOST_PAGES = 12


async def sign_in_with_google(base_url: str, tell: Tell) -> str | None:
    """The user id of whom Google vouches for; None where no stand-in runs. Raises Refused."""
    async with httpx.AsyncClient(timeout=TIMEOUT_S, trust_env=False) as browser:
        address = f"{base_url}{API}/oauth"
        if "google" not in (await browser.get(f"{address}/providers")).json()["providers"]:
            tell("nobody signs in with Google here: it is not configured, and no stand-in runs")
            return None
        begun = await _post(browser, f"{address}/google/authorizations", {"return_url": RETURN_URL})
        if urlsplit(begun["authorization_url"]).hostname != LOOPBACK:
            tell("sign-in with the real Google is for people")
            return None
        code = await _agree(browser, begun["authorization_url"])
        proof = {"code": code, "handle": begun["handle"]}
        session = await _post(browser, f"{address}/completion", proof)
        headers = {"authorization": f"Bearer {session['access_token']}"}
        me = (await browser.get(f"{base_url}{API}/users/me", headers=headers)).json()
        tell(f"{me['username']} signed in with Google's stand-in, without a password")
        return str(session["user_id"])


async def _agree(browser: httpx.AsyncClient, url: str) -> str:
    """Choose the first account, agree, and come back with a code. Raises Refused."""
    answer = await browser.get(url)
    for _ in range(MOST_PAGES):
        if answer.has_redirect_location:
            place = urljoin(str(answer.url), answer.headers["location"])
            if place.startswith(RETURN_URL):
                told = parse_qs(urlsplit(place).query)
                if "code" not in told:
                    raise Refused(told.get("error", ["no answer"])[0], "signing in with Google")
                return told["code"][0]
            answer = await browser.get(place)
            continue
        action = re.search(r'<form method="post" action="([^"]+)"', answer.text)
        choice = re.search(r'<button name="(\w+)" value="([^"]+)"', answer.text)
        if action is None or choice is None:
            break
        answer = await browser.post(
            urljoin(str(answer.url), action[1]), data={choice[1]: choice[2]}
        )
    raise Refused("no-answer", "the stand-in shows no page that can be answered")


async def _post(browser: httpx.AsyncClient, url: str, body: dict[str, str]) -> dict[str, str]:
    answer = await browser.post(url, json=body)
    content: dict[str, str] = answer.json()
    if answer.status_code != httpx.codes.CREATED:
        raise Refused(content.get("code", str(answer.status_code)), content.get("detail", ""))
    return content
