"""What tests of second factors share: a signed-in user, their app, their authenticator."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, get_args

import httpx
import pyotp

from api.factor_notices import NOTICES
from integrations.tokens import Claims
from messages.users_factors import FactorEvent
from messages.users_wallets import WalletEvent
from tests.api_services import Api
from tests.authenticator import Authenticator

STEP_MS = 30_000
KNOWN = {kind.__name__ for kind in (*get_args(FactorEvent), *get_args(WalletEvent))}
ME, SESSIONS = "/api/v1/users/me", "/api/v1/sessions"


@dataclass
class Person:
    """A user with a gateway, an authenticator app and an authenticator."""

    api: Api
    name: str = "mira"
    secret: str = ""
    recovery_codes: list[str] = field(default_factory=list)
    authenticator: Authenticator = field(default_factory=Authenticator)
    token: str = ""

    async def join(self) -> Person:
        assert (await self.api.register(self.name)).status_code == 201
        await self.sign_in()
        return self

    async def sign_in(self) -> httpx.Response:
        """With the password; keeps the token if that is all."""
        answer = await self.api.sign_in(self.name)
        if answer.status_code == 201:
            self.token = answer.json()["access_token"]
        return answer

    @property
    def user_id(self) -> str:
        return self.claims().user_id

    def claims(self) -> Claims:
        return self.api.services.tokens.verify(self.token, self.api.services.clock())

    async def ask(self, method: str, path: str, body: Any = None) -> httpx.Response:
        headers = {"Authorization": f"Bearer {self.token}"}
        return await self.api.client.request(method, path, json=body, headers=headers)

    async def open(self, path: str, body: Any = None) -> httpx.Response:
        """A request without a token."""
        return await self.api.client.post(path, json=body)

    def wait(self, ms: int = STEP_MS) -> None:
        self.api.services.clock.now_ms += ms  # type: ignore[attr-defined]

    def code(self, steps: int = 0) -> str:
        """What the app shows, or showed or will show."""
        at = self.api.services.clock() // STEP_MS + steps
        return pyotp.TOTP(self.secret).generate_otp(at)

    def wrong_code(self) -> str:
        near = {self.code(steps) for steps in range(-2, 3)}
        return next(code for code in map("{:06d}".format, range(10)) if code not in near)

    async def enrol(self) -> httpx.Response:
        """Set up one-time passwords; the code that confirms them is used up."""
        begun = await self.ask("POST", f"{ME}/totp")
        assert begun.status_code == 201, begun.text
        self.secret = begun.json()["secret"]
        made = await self.ask("POST", f"{ME}/totp/confirmation", {"code": self.code()})
        assert made.status_code == 200, made.text
        self.recovery_codes = made.json()["recovery_codes"] or self.recovery_codes
        return made

    async def add_passkey(self, name: str = "telephone") -> httpx.Response:
        asked = (await self.ask("POST", f"{ME}/passkeys/options")).json()
        credential = self.authenticator.create(asked["options"])
        body = {"challenge_id": asked["challenge_id"], "name": name, "credential": credential}
        made = await self.ask("POST", f"{ME}/passkeys", body)
        if made.status_code == 201:
            self.recovery_codes = made.json()["recovery_codes"] or self.recovery_codes
        return made

    async def pending(self) -> dict[str, Any]:
        """Sign in with the password alone; what the account asks for."""
        answer = await self.api.sign_in(self.name)
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()
        return found

    async def complete(self, pending: str, method: str, **body: Any) -> httpx.Response:
        """The second factor; keeps the token."""
        path = f"{SESSIONS}/second-factor"
        answer = await self.open(path, {"pending": pending, "method": method, **body})
        if answer.status_code == 201:
            self.token = answer.json()["access_token"]
        return answer

    async def step_up(self, method: str, **body: Any) -> httpx.Response:
        path = f"{SESSIONS}/current/step-up"
        answer = await self.ask("POST", path, {"method": method, **body})
        if answer.status_code == 200:
            self.token = answer.json()["access_token"]
        return answer

    async def factors(self) -> dict[str, Any]:
        found: dict[str, Any] = (await self.ask("GET", f"{ME}/factors")).json()
        return found

    async def facts(self) -> list[str]:
        """The events about the user's factors and wallets, in order."""
        rows = await self.api.pool.fetch(
            "select type from bus.outbox where entity_id = $1 order by sequence",
            self.user_id,
        )
        return [row["type"] for row in rows if row["type"] in KNOWN]

    async def letters(self) -> list[str]:
        """Those about factors, by name."""
        rows = await self.api.pool.fetch("select template from mail.outgoing order by template")
        templates = {template.value for _, template in NOTICES.values()}
        return [row["template"] for row in rows if row["template"] in templates]
