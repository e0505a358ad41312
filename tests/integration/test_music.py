"""Songs through the gateway: real files, the real decoder, a real PostgreSQL, a real folder."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from domain.music import POLICY
from integrations.audio import ProcessInspector
from messages.music import SongPublished
from storage.database import Pool
from tests import audio_files
from tests.api_services import Api, assert_problem, make_services, open_api

DEMO = Path(__file__).resolve().parents[2] / "demo" / "music"
MAX_UPLOAD = 2 * 1024 * 1024


@pytest.fixture
async def api(pool: Pool, tmp_path: Path) -> AsyncIterator[Api]:
    services = make_services(tmp_path, pool, max_upload_bytes=MAX_UPLOAD)
    async with open_api(services) as opened:
        await opened.become_artist()
        yield opened


def leftovers(api: Api) -> list[Path]:
    return list(api.services.settings.upload_folder.glob("*"))


async def test_a_real_song_is_published_and_comes_back_bit_for_bit(api: Api) -> None:
    file = DEMO / "calm-acoustic-1.opus"
    answer = await api.upload(file, "  Calm\tacoustic ")
    assert answer.status_code == 201, answer.text
    song = answer.json()
    assert song["title"] == "Calm acoustic"
    assert (song["duration_ms"], song["codec"], song["content_type"]) == (
        7_000,
        "opus",
        "audio/ogg",
    )
    assert song["audio_sha256"] == hashlib.sha256(file.read_bytes()).hexdigest()
    assert (await api.client.get(f"/api/v1/songs/{song['song_id']}")).json() == song
    audio = await api.client.get(f"/api/v1/songs/{song['song_id']}/audio", headers=api.headers())
    assert audio.content == file.read_bytes()
    row = await api.pool.fetchrow("select * from bus.outbox where stream = 'music' and type = $1",
                                  SongPublished.__name__)  # fmt: skip
    assert row is not None
    assert row["channels"] == [f"song:{song['song_id']}", f"artist:{song['artist_id']}"]
    assert leftovers(api) == []


async def test_the_whole_demo_is_acceptable(api: Api) -> None:
    for file in sorted(DEMO.glob("*.opus")):
        assert file.stat().st_size < 700_000
        assert (await api.upload(file, file.stem)).status_code == 201
    assert (await api.rows())["music.songs"] == 4


def _tone(folder: Path, seconds: float, kind: str = "opus.ogg", **how: float) -> Path:
    return audio_files.encode(folder / f"made.{kind}", audio_files.tone(seconds, **how), kind)


def _endless(folder: Path) -> Path:
    return audio_files.endless(folder, POLICY.max_song_ms // 1_000 + 60)


REFUSED: list[tuple[str, Callable[[Path], Path | bytes], int, str]] = [
    ("nothing", lambda _: b"", 422, "empty-audio"),
    ("random bytes", audio_files.random_bytes, 422, "unreadable-audio"),
    ("text", lambda _: b"#EXTM3U\nfile:///etc/passwd\n", 422, "unreadable-audio"),
    ("playlist", lambda _: b"ffconcat version 1.0\nfile /etc/passwd\n", 422, "unreadable-audio"),
    ("an Ogg signature and noise", lambda _: b"OggS" + bytes(500), 422, "truncated-audio"),
    ("a FLAC signature and noise", lambda _: b"fLaC" + b"\xa5" * 500, 422, "unreadable-audio"),
    ("cut Opus", lambda f: audio_files.truncated(audio_files.good(f, "opus.ogg")), 422,
     "truncated-audio"),
    ("cut FLAC", lambda f: audio_files.truncated(audio_files.good(f, "flac")), 422,
     "truncated-audio"),
    ("cut WAV", lambda f: audio_files.truncated(audio_files.good(f, "wav")), 422,
     "truncated-audio"),
    ("damaged FLAC", lambda f: audio_files.corrupted(audio_files.good(f, "flac")), 422,
     "corrupt-audio"),
    ("silence", lambda f: _tone(f, 3, volume=0.0), 422, "silent-audio"),
    ("all but silence", lambda f: _tone(f, 3, "flac", volume=0.0005), 422, "silent-audio"),
    ("half a second", lambda f: _tone(f, 0.5), 422, "audio-too-short"),
    ("ADTS", lambda f: audio_files.good(f, "adts"), 415, "unsupported-audio"),
    ("AIFF", lambda f: audio_files.good(f, "aiff"), 415, "unsupported-audio"),
    ("over an hour", _endless, 422, "audio-too-long"),
    ("too many bytes", lambda _: bytes(MAX_UPLOAD + 1), 413, "upload-too-large"),
    ("far too many bytes", lambda _: bytes(2 * MAX_UPLOAD), 413, "request-too-large"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "make", "status", "code"), REFUSED, ids=[r[0] for r in REFUSED])
async def test_a_bad_file_is_refused_and_nothing_changes(
    api: Api, tmp_path: Path, name: str, make: Callable[[Path], Any], status: int, code: str
) -> None:
    before = await api.rows()
    assert_problem(await api.upload(make(tmp_path)), status, code)
    assert await api.rows() == before
    assert not list((tmp_path / "objects").rglob("audio/*/*"))
    assert leftovers(api) == []


BOUNDARY = "x" * 20


def form(*parts: tuple[str, bytes], end: bool = True) -> bytes:
    body = b"".join(
        f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n'.encode()
        + content
        + b"\r\n"
        for name, content in parts
    )
    return body + (f"--{BOUNDARY}--\r\n".encode() if end else b"")


TITLE, FILE = ("title", b"Song"), ("file", b"x")
MALFORMED: list[tuple[str, bytes, int, str]] = [
    (f"multipart/form-data; boundary={BOUNDARY}", b"", 400, "upload-malformed"),
    (f"multipart/form-data; boundary={BOUNDARY}", b"garbage", 400, "upload-malformed"),
    (f"multipart/form-data; boundary={BOUNDARY}", form(TITLE), 400, "upload-malformed"),
    (f"multipart/form-data; boundary={BOUNDARY}", form(FILE), 422, "title-invalid"),
    (f"multipart/form-data; boundary={BOUNDARY}", form(TITLE, FILE, end=False), 400,
     "upload-malformed"),
    (f"multipart/form-data; boundary={BOUNDARY}", form(TITLE, FILE, FILE), 400,
     "upload-malformed"),
    (f"multipart/form-data; boundary={BOUNDARY}", form(TITLE, TITLE, FILE), 400,
     "upload-malformed"),
    (f"multipart/form-data; boundary={BOUNDARY}", form(("title", b"\xff\xfe"), FILE), 400,
     "upload-malformed"),
    (f"multipart/form-data; boundary={BOUNDARY}", form(("title", b"a\x00b"), FILE), 422,
     "title-invalid"),
    (f"multipart/form-data; boundary={BOUNDARY}", form(("title", b"x" * 9_000), FILE), 400,
     "upload-malformed"),
    (f"multipart/form-data; boundary={BOUNDARY}",
     form(*((f"f{n}", b"") for n in range(20)), FILE), 400, "upload-malformed"),
    ("multipart/form-data", form(TITLE, FILE), 400, "upload-malformed"),
    ("application/json", b"{}", 415, "unsupported-media-type"),
]  # fmt: skip


@pytest.mark.parametrize(("content_type", "body", "status", "code"), MALFORMED)
async def test_a_bad_form_is_refused_and_nothing_changes(
    api: Api, content_type: str, body: bytes, status: int, code: str
) -> None:
    before = await api.rows()
    headers = {**api.headers(), "Content-Type": content_type}
    answer = await api.client.post("/api/v1/songs", content=body, headers=headers)
    assert_problem(answer, status, code)
    assert await api.rows() == before
    assert leftovers(api) == []


async def test_only_artists_publish_and_strangers_are_refused_before_the_body(api: Api) -> None:
    read: list[bytes] = []

    async def endless() -> AsyncIterator[bytes]:
        for _ in range(100):
            read.append(b"x" * 1_000)
            yield read[-1]

    headers = {"Content-Type": f"multipart/form-data; boundary={BOUNDARY}"}
    key = {"Idempotency-Key": "some-key-1"}
    anonymous = await api.client.post("/api/v1/songs", content=endless(), headers=headers | key)
    assert_problem(anonymous, 401, "unauthenticated")
    assert read == []
    await api.register("fan")
    await api.sign_in("fan")
    before = await api.rows()
    fan = await api.client.post(
        "/api/v1/songs", content=endless(), headers={**headers, **api.headers()}
    )
    assert_problem(fan, 403, "permission-missing")
    assert read == []
    assert await api.rows() == before


async def test_the_same_audio_is_published_once_by_an_artist(api: Api, tmp_path: Path) -> None:
    file = audio_files.good(tmp_path)
    first = (await api.upload(file)).json()
    before = await api.rows()
    problem = assert_problem(await api.upload(file, "Other title"), 409, "duplicate-audio")
    assert problem["params"] == {"song_id": first["song_id"]}
    assert await api.rows() == before
    await api.become_artist("noor")
    assert (await api.upload(file)).status_code == 201, "another artist may"
    assert len(list((tmp_path / "objects").rglob("audio/*/*"))) == 1


async def test_concurrent_uploads_of_the_same_audio_publish_it_once(
    api: Api, tmp_path: Path
) -> None:
    file = audio_files.good(tmp_path)
    answers = await asyncio.gather(*(api.upload(file) for _ in range(4)))
    assert sorted(answer.status_code for answer in answers) == [201, 409, 409, 409]
    song_id = next(a.json()["song_id"] for a in answers if a.status_code == 201)
    for answer in answers:
        if answer.status_code == 409:
            problem = assert_problem(answer, 409, "duplicate-audio")
            assert problem["params"] == {"song_id": song_id}
    assert (await api.rows())["music.songs"] == 1


async def test_a_repeated_upload_answers_the_same(api: Api, tmp_path: Path) -> None:
    file = audio_files.good(tmp_path)
    first, second = await asyncio.gather(*(api.upload(file, key="upload-1") for _ in range(2)))
    again = await api.upload(file, key="upload-1")
    assert first.status_code == second.status_code == again.status_code == 201
    assert first.json() == second.json() == again.json()
    assert_problem(await api.upload(file, "New", key="upload-1"), 422, "idempotency-key-reused")
    assert (await api.rows())["music.songs"] == 1


async def test_an_artist_may_have_so_many_songs(api: Api, tmp_path: Path) -> None:
    await api.pool.execute("update music.artists set songs = $1", POLICY.max_songs_per_artist)
    before = await api.rows()
    problem = assert_problem(
        await api.upload(audio_files.good(tmp_path)), 409, "song-limit-reached"
    )
    assert problem["params"] == {"limit": 1_000}
    assert await api.rows() == before


async def test_a_decoder_that_does_not_end_is_stopped(api: Api, tmp_path: Path) -> None:
    from dataclasses import replace

    impatient = replace(api.services, audio=ProcessInspector(wall_seconds=0.001))
    api.app.state.services = impatient
    before = await api.rows()
    assert_problem(await api.upload(audio_files.good(tmp_path)), 422, "audio-too-complex")
    assert await api.rows() == before


async def test_pages_are_stable_while_songs_are_added(api: Api, tmp_path: Path) -> None:
    async def publish(number: int) -> str:
        file = audio_files.encode(tmp_path / f"{number}.flac", audio_files.tone(1 + number / 10),
                                  "flac")  # fmt: skip
        answer = await api.upload(file, f"Song {number}")
        assert answer.status_code == 201, answer.text
        return str(answer.json()["song_id"])

    published = [await publish(n) for n in range(5)]  # all at one moment of the clock
    seen: list[str] = []
    cursor = None
    while True:
        params = {"limit": "2", **({"cursor": cursor} if cursor else {})}
        page = (await api.client.get("/api/v1/songs", params=params)).json()
        seen += [song["song_id"] for song in page["items"]]
        cursor = page["next_cursor"]
        if cursor is None:
            break
        api.services.clock.now_ms += 1  # type: ignore[attr-defined]
        await publish(5 + len(seen))
    assert sorted(seen) == sorted(published)
    artist_id = (await api.client.get(f"/api/v1/songs/{seen[0]}")).json()["artist_id"]
    mine = await api.client.get("/api/v1/songs", params={"artist_id": artist_id, "limit": 100})
    assert len(mine.json()["items"]) == 7
    nobody = await api.client.get(
        "/api/v1/songs", params={"artist_id": "00000000-0000-0000-0000-000000000000"}
    )
    assert nobody.json() == {"items": [], "next_cursor": None}


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ("cursor=x", "cursor-invalid"),
        ("cursor=%00", "cursor-invalid"),
        ("cursor=%C3%A9", "cursor-invalid"),
        ("cursor=" + "A" * 300, "invalid-request"),
        ("limit=0", "invalid-request"),
        ("limit=101", "invalid-request"),
        ("limit=x", "invalid-request"),
        ("artist_id=7", "invalid-request"),
    ],
)
async def test_bad_queries_are_refused(api: Api, query: str, code: str) -> None:
    assert_problem(await api.client.get(f"/api/v1/songs?{query}"), 422, code)


async def test_a_song_that_is_not_there(api: Api) -> None:
    missing = "/api/v1/songs/00000000-0000-0000-0000-000000000000"
    assert_problem(await api.client.get(missing), 404, "song-not-found")
    audio = await api.client.get(missing + "/audio", headers=api.headers())
    assert_problem(audio, 404, "song-not-found")
    assert_problem(await api.client.get("/api/v1/songs/7"), 422, "invalid-request")


async def test_ranges_of_the_audio(api: Api) -> None:
    file = DEMO / "calm-acoustic-1.opus"
    content = file.read_bytes()
    size = len(content)
    song_id = (await api.upload(file)).json()["song_id"]
    url = f"/api/v1/songs/{song_id}/audio"
    assert_problem(await api.client.get(url), 401, "unauthenticated")
    whole = await api.client.get(url, headers=api.headers())
    etag = whole.headers["etag"]
    assert whole.headers["accept-ranges"] == "bytes"
    for header, expected in (
        ("bytes=0-0", content[:1]),
        ("bytes=100-", content[100:]),
        ("bytes=-10", content[-10:]),
        (f"bytes=5-{size * 2}", content[5:]),
    ):
        part = await api.client.get(url, headers={**api.headers(), "Range": header})
        assert (part.status_code, part.content) == (206, expected)
        assert part.headers["content-length"] == str(len(expected))
        assert part.headers["content-range"].endswith(f"/{size}")
    outside = await api.client.get(url, headers={**api.headers(), "Range": f"bytes={size}-"})
    assert_problem(outside, 416, "range-not-satisfiable")
    assert outside.headers["content-range"] == f"bytes */{size}"
    for header in ("bytes=0-1,3-4", "bytes=x", "lines=1-2", "bytes=9-1"):
        ignored = await api.client.get(url, headers={**api.headers(), "Range": header})
        assert (ignored.status_code, len(ignored.content)) == (200, size)
    same = await api.client.get(url, headers={**api.headers(), "If-None-Match": f'"no", W/{etag}'})
    assert (same.status_code, same.content) == (304, b"")
    stale = {**api.headers(), "Range": "bytes=0-0", "If-Range": '"old"'}
    assert (await api.client.get(url, headers=stale)).status_code == 200
    fresh = {**api.headers(), "Range": "bytes=0-0", "If-Range": etag}
    assert (await api.client.get(url, headers=fresh)).status_code == 206
