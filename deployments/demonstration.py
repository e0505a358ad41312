"""What the demo may only do as an operator: its accounts' password, a role, points."""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping
from pathlib import Path

import asyncpg

from demo.client import Letters
from demo.load import load
from demo.player import Tell
from demo.sign_in import sign_in_with_google
from demo.story import Outcome, tell_story
from deployments.launcher.server import write_whole
from deployments.runner import DEMO_FILE
from deployments.settings import Settings
from domain.users import POLICY
from messages.users import Role
from storage.users import grant_points, grant_role

PASSWORD_BYTES = 18


def password(folder: Path) -> str:
    """The demo accounts' password, made by chance for this data folder."""
    file = folder / DEMO_FILE
    if not file.exists():
        write_whole(file, json.dumps({"password": secrets.token_urlsafe(PASSWORD_BYTES)}))
    return str(json.loads(file.read_text("utf-8"))["password"])


async def load_demo(settings: Settings, base_url: str, letters_url: str, tell: Tell) -> None:
    """Load the demo into the running system. Raises demo.client.Refused, TimeoutError."""

    async def promote(username: str) -> None:
        connection = await asyncpg.connect(settings.postgres_url, timeout=10)
        try:
            await grant_role(connection, username, Role.ADMIN)
        finally:
            await connection.close()

    await load(base_url, Letters(letters_url), password(settings.folder), promote, tell)


async def run_story(places: Mapping[str, str], tell: Tell, seconds: float | None = None) -> Outcome:
    """Drive the story. Its fan is made a VIP, so that one listen reaches the minimum payout.

    places: of the running system, as `run.json` names them.
    """

    async def honour(username: str) -> None:
        connection = await asyncpg.connect(places["postgres_url"], timeout=10)
        try:
            await grant_points(connection, username, POLICY.vip_points)
        finally:
            await connection.close()
        tell(f"{username} is a VIP now: {POLICY.vip_points} points")

    base_url, letters_url = places["address"], places["letters_url"]
    await sign_in_with_google(base_url, tell)
    return await tell_story(base_url, letters_url, tell, seconds=seconds, honour=honour)
