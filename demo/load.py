"""The demo's content, loaded once: an artist with songs, fans, a funded reward pool, a market.

The music is Maxstack's (demo/LICENCES.md); the account that publishes it stands for nobody.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack

from demo.client import Api, Letters, Refused
from demo.market import open_market
from demo.player import Tell
from demo.story import MINOR, MUSIC

ADMIN, ARTIST, FAN, TRADER = "demo-admin", "demo-artist", "demo-fan", "demo-trader"
ISSUED = "Nebula (excerpt)"
ARTIST_NAME = "Maxstack (demo)"
SONGS = {
    "Nebula (excerpt)": "nebula.opus",
    "Orbital Elevator (excerpt)": "orbital-elevator.opus",
    "Through Space (excerpt)": "through-space.opus",
}
POOL = "Everyone's pool"
POOL_VIBES = 10_000

# Makes a user an administrator, by name: an operator's right, not a client's.
Promote = Callable[[str], Awaitable[None]]


async def load(
    base_url: str, letters: Letters, password: str, promote: Promote, tell: Tell
) -> None:
    """Load what is missing. Every step may be done again: it changes nothing twice."""
    async with AsyncExitStack() as stack:
        users = {name: Api(base_url) for name in (ADMIN, ARTIST, FAN, TRADER)}
        for name, api in users.items():
            await stack.enter_async_context(api)
            await _enter(api, letters, name, password)
        admin, artist, fan, trader = users.values()
        await promote(ADMIN)
        await admin.sign_in(ADMIN, password)
        songs = await _publish(artist, tell)
        await _fund(admin, tell)
        await open_market(admin, artist, {FAN: fan, TRADER: trader}, songs[ISSUED], tell)


async def _enter(api: Api, letters: Letters, name: str, password: str) -> None:
    """Sign in, as a new user if there is none yet."""
    try:
        await api.sign_in(name, password)
    except Refused as refused:
        if refused.code != "credentials-wrong":
            raise
        body = {"username": name, "email": f"{name}@example.org", "password": password}
        # The key is the name's, so that a load that broke off here goes on with the same letter.
        await api.register(letters, body, key=f"demo-user-{name}")
        await api.sign_in(name, password)


async def _publish(artist: Api, tell: Tell) -> dict[str, str]:
    """The ids of the demo's songs by title."""
    try:
        await artist.post("/artists", {"name": ARTIST_NAME})
    except Refused as refused:
        if refused.code != "artist-exists":
            raise
    songs = (await artist.get("/songs?limit=100"))["items"]
    known: dict[str, str] = {song["title"]: song["song_id"] for song in songs}
    for title, file in SONGS.items():
        if title not in known:
            # The key is the title's, so that two loads at once publish it once.
            song = await artist.publish(title, MUSIC / file, key=f"demo-song-{file}")
            known[title] = song["song_id"]
            tell(f"published {title}")
    return known


async def _fund(admin: Api, tell: Tell) -> None:
    pools = (await admin.get("/reward-pools?limit=100"))["items"]
    if any(pool["status"] == "open" and pool["balance_minor"] for pool in pools):
        return
    pool = await admin.post("/reward-pools", {"name": POOL}, key="demo-pool-open")
    funding = {"amount_minor": POOL_VIBES * MINOR, "source": "treasury"}
    path = f"/reward-pools/{pool['pool_id']}/fundings"
    await admin.post(path, funding, key="demo-pool-fund")
    tell(f"funded {POOL} with {POOL_VIBES} VIBES")
