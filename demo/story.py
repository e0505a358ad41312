"""The story of one rewarded listen, told as it happens."""

from __future__ import annotations

import secrets
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from demo.client import Api, open_realtime
from demo.player import Tell, play

MUSIC = Path(__file__).resolve().parent / "music"
SONG = MUSIC / "nebula.opus"
TITLE = "Nebula (excerpt)"
PASSWORD_BYTES = 18
MINOR = 1_000_000  # of a VIBES
MINIMUM_PAYOUT_MINOR = MINOR
REWARD_SECONDS = 60.0

Honour = Callable[[str], Awaitable[None]]


@dataclass(frozen=True)
class Outcome:
    """What the story came to."""

    session: dict[str, Any]
    rewards: list[dict[str, Any]]
    streak: dict[str, Any]
    balances: list[dict[str, Any]]
    artist_balances: list[dict[str, Any]]
    events: list[dict[str, Any]]


async def register(api: Api, name: str, password: str, tell: Tell) -> None:
    """A new user, signed in."""
    body = {"username": name, "email": f"{name}@example.org", "password": password}
    await api.post("/users", {**body, "time_zone": "Europe/Madrid", "locale": "en"})
    await api.sign_in(name, password)
    tell(f"{name} registered and signed in")


async def tell_story(
    base_url: str,
    tell: Tell,
    *,
    song: Path = SONG,
    seconds: float | None = None,
    honour: Honour | None = None,
) -> Outcome:
    """Upload, listen, be paid. Needs an open reward pool. Raises Refused, TimeoutError.

    seconds: how long to listen; the whole song if None.  honour: what is done for the fan before.
    """
    chance = secrets.token_hex(4)
    async with Api(base_url) as artist, Api(base_url) as fan:
        await register(artist, f"artist-{chance}", secrets.token_urlsafe(PASSWORD_BYTES), tell)
        await artist.post("/artists", {"name": f"Artist {chance}"})
        published = await artist.publish(f"{TITLE} {chance}", song)
        length_s = published["duration_ms"] / 1000
        tell(f"{song.name} uploaded, decoded from end to end and published: {length_s:.1f} s")
        await register(fan, f"fan-{chance}", secrets.token_urlsafe(PASSWORD_BYTES), tell)
        if honour is not None:
            await honour(f"fan-{chance}")
        async with open_realtime(fan, lambda event: tell(_event(event))) as realtime:
            for channel in (f"user:{fan.user_id}", f"song:{published['song_id']}"):
                await realtime.subscribe(channel)
                tell(f"subscribed to {channel}")
            session = await play(realtime, published, seconds or length_s, tell)
            counted = "counts" if session["counted"] else "does not count"
            tell(f"the session ended and {counted}: {session['played_ms'] / 1000:.1f} s played")
            if session["counted"]:
                paid = await realtime.wait_for("RewardPaid", seconds=REWARD_SECONDS)
                await realtime.wait_for("StreakExtended", seconds=REWARD_SECONDS)
                if paid["data"]["reward_minor"] >= MINIMUM_PAYOUT_MINOR:
                    await realtime.wait_for("RewardPaidOut", seconds=REWARD_SECONDS)
            events = list(realtime.events)
        outcome = Outcome(
            session,
            (await fan.get("/users/me/rewards"))["items"],
            await fan.get("/users/me/streak"),
            (await fan.get("/users/me/balances"))["items"],
            (await artist.get("/users/me/balances"))["items"],
            events,
        )
    _summary(outcome, tell)
    return outcome


def _event(event: dict[str, Any]) -> str:
    return f"event on {event['channel'].partition(':')[0]}: {event['type']}"


def _summary(outcome: Outcome, tell: Tell) -> None:
    for reward in outcome.rewards:
        tell(f"reward {reward['amount_minor'] / MINOR:.6f} VIBES, {reward['state']}")
    for who, balances in (("fan", outcome.balances), ("artist", outcome.artist_balances)):
        for balance in balances:
            if balance["amount_minor"]:
                amount = balance["amount_minor"] / MINOR
                tell(f"{who}: {amount:.6f} VIBES {balance['purpose']} as {balance['role']}")
    tell(f"streak: {outcome.streak['days']} day(s)")
