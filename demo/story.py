"""The story of one rewarded listen, told as it happens: heard, proved, paid."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from demo.client import Api, Letters, Refused, open_realtime
from demo.player import Tell, play
from demo.prover import first_leaf, new_identity, prove_claims, why_missing

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


async def register(api: Api, letters: Letters, name: str, tell: Tell) -> None:
    """A new user, signed in."""
    password = secrets.token_urlsafe(PASSWORD_BYTES)
    body = {"username": name, "email": f"{name}@example.org", "password": password}
    await api.register(letters, {**body, "time_zone": "Europe/Madrid", "locale": "en"})
    await api.sign_in(name, password)
    tell(f"{name} registered, confirmed the address by the letter's token, and signed in")


async def tell_story(
    base_url: str,
    letters_url: str,
    tell: Tell,
    *,
    song: Path = SONG,
    seconds: float | None = None,
    honour: Honour | None = None,
) -> Outcome:
    """Upload, listen, prove, be paid. Needs an open reward pool.

    Raises Refused, TimeoutError, CannotProveError.

    seconds: how long to listen; the whole song if None.  honour: what is done for the fan before.
    """
    chance, letters = secrets.token_hex(4), Letters(letters_url)
    async with Api(base_url) as artist, Api(base_url) as fan:
        await register(artist, letters, f"artist-{chance}", tell)
        await artist.post("/artists", {"name": f"Artist {chance}"})
        published = await artist.publish(f"{TITLE} {chance}", song)
        length_s = published["duration_ms"] / 1000
        tell(f"{song.name} uploaded, decoded from end to end and published: {length_s:.1f} s")
        await register(fan, letters, f"fan-{chance}", tell)
        if honour is not None:
            await honour(f"fan-{chance}")
        identity = await _identify(fan, tell)
        async with open_realtime(fan, lambda event: tell(_event(event))) as realtime:
            for channel in (f"user:{fan.user_id}", f"song:{published['song_id']}"):
                await realtime.subscribe(channel)
                tell(f"subscribed to {channel}")
            session = await play(realtime, published, seconds or length_s, tell)
            counted = "counts" if session["counted"] else "does not count"
            tell(f"the session ended and {counted}: {session['played_ms'] / 1000:.1f} s played")
            if session["counted"] and identity is not None:
                paid = await claim(fan, session, identity["secret"], tell)
                await realtime.wait_for("StreakExtended", seconds=REWARD_SECONDS)
                if paid >= MINIMUM_PAYOUT_MINOR:
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


async def _identify(fan: Api, tell: Tell) -> dict[str, str] | None:
    """Register an identity; None where nothing can be proved, and so nothing claimed."""
    if missing := why_missing():
        tell(f"without a prover the listen counts and nothing is claimed: {missing}")
        return None
    identity = await new_identity()
    await fan.put("/users/me/identity", {"commitment": identity["commitment"]})
    tell("an identity is registered: its commitment; the secret stays here")
    return identity


async def claim(fan: Api, session: dict[str, Any], secret: str, tell: Tell) -> int:
    """Prove the session and claim its reward; what was paid. Raises Refused, CannotProveError."""
    pool_id = (await fan.get(f"/listening/sessions/{session['session_id']}"))["pool_id"]
    facts = {"session_id": session["session_id"], "pool_id": pool_id, "rows": session["rows"]}
    tree = await _tree_with(await first_leaf(secret, facts), fan, pool_id)
    tell(f"the session's leaf is one of {len(tree['leaves'])} in the pool's tree")
    terms = await fan.get("/rewards/claims/terms")
    began = time.monotonic()
    proved = await prove_claims(secret, facts, tree, terms, fan.user_id)
    tell(f"proved in {time.monotonic() - began:.1f} s, without saying which leaf it is")
    body = {"pool_id": pool_id, "key_version": proved["version"], "claims": proved["claims"]}
    paid = await fan.post("/rewards/claims/batch", body)
    for result in paid["results"]:
        outcome = result["code"] or f"{result['amount_minor'] / MINOR:.6f} VIBES"
        tell(f"claimed {result['min_played_ms'] / 1000:g} s: {outcome}")
    return int(paid["amount_minor"])


async def _tree_with(own: str, fan: Api, pool_id: str) -> dict[str, Any]:
    """The epoch whose tree has the leaf, and all its leaves. Raises TimeoutError.

    All of them are read, so that nobody learns which one was looked for.
    """
    async with asyncio.timeout(REWARD_SECONDS):
        while True:
            present = (await fan.get(f"/reward-pools/{pool_id}"))["epoch"]
            for epoch in range(present, max(-1, present - 2), -1):
                leaves = await _leaves(fan, pool_id, epoch)
                if own in leaves:
                    return {"epoch": epoch, "leaves": leaves}
            await asyncio.sleep(0.2)


async def _leaves(fan: Api, pool_id: str, epoch: int) -> list[str]:
    leaves: list[str] = []
    after: int | None = 0
    while after is not None:
        try:
            page = await fan.get(f"/reward-pools/{pool_id}/epochs/{epoch}/leaves?after={after}")
        except Refused as refused:
            if refused.code != "reward-epoch-not-found":
                raise
            return []
        leaves += page["leaves"]
        after = page["next_after"]
    return leaves


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
