"""Users, artists and operators who are signed in at the gateway."""

from __future__ import annotations

import uuid
from typing import Any

from tests.api_services import Api

ADD_SONG = """
insert into music.songs
    (song_id, artist_id, title, duration_ms, audio_sha256, audio_bytes, object_name, content_type,
     codec, sample_rate, channels, published_at_ms)
select $1::uuid, artist_id, 'Song', 200000, sha256(($1::uuid)::text::bytea), 1, 'x', 'audio/flac',
    'flac', 44100, 2, 1
from music.artists where user_id = $2"""


class People:
    """The signed-in users of a test, by name."""

    def __init__(self, api: Api) -> None:
        self.api = api
        self.ids: dict[str, str] = {}
        self.tokens: dict[str, str] = {}

    async def add(self, *names: str, role: str = "user") -> None:
        for name in names:
            self.ids[name] = (await self.api.register(name)).json()["user_id"]
            await self.api.pool.execute(
                "update users.users set role = $2 where user_id = $1", self.ids[name], role
            )
            assert (await self.api.sign_in(name)).status_code == 201
            self.tokens[name] = self.api.token

    async def come_back(self, name: str) -> None:
        """A new token: the one before is over after a while."""
        assert (await self.api.sign_in(name)).status_code == 201
        self.tokens[name] = self.api.token

    async def artist(self, name: str) -> str:
        """An artist with a song, whose id comes back."""
        await self.add(name)
        made = await self.post(name, "artists", {"name": name.title()})
        assert made.status_code == 201
        await self.come_back(name)
        song_id = str(uuid.uuid4())
        await self.api.pool.execute(ADD_SONG, song_id, self.ids[name])
        return song_id

    async def post(self, name: str, path: str, body: Any = None, key: str | None = None) -> Any:
        self.api.token = self.tokens[name]
        return await self.api.client.post(
            f"/api/v1/{path}", json=body, headers=self.api.headers(key)
        )

    async def get(self, name: str, path: str) -> Any:
        self.api.token = self.tokens[name]
        return await self.api.client.get(f"/api/v1/{path}", headers=self.api.headers())
