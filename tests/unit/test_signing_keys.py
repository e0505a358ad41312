"""Keys: when each signs, verifies and is published; their folder; the operator's commands."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from deployments.cli import app
from domain.signing_keys import POLICY, good_until_ms, is_good, signer
from integrations.private_files import UnsafeKeyFileError, read_private
from integrations.signing_keys import (
    SigningKey,
    add_signing_key,
    follow,
    generate_signing_key,
    key_files,
    load_signing_keys,
    read_signing_keys,
)
from integrations.tokens import AccessTokens, Grant
from messages.users import Role, TokenInvalid
from messages.users_sessions import Method

NOW = 1_790_000_000_000
LATER = NOW + POLICY.publish_ms
KEEP = POLICY.lifetime_ms + POLICY.margin_ms
GRANT = Grant("user", "session", (Role.USER,), (Method.PASSWORD,), NOW)


def test_a_key_signs_from_its_moment_and_verifies_until_its_last_token_is_over() -> None:
    moments = [LATER, NOW, 0]
    assert [signer(moments, at) for at in (0, NOW - 1, NOW, LATER - 1, LATER)] == [2, 2, 1, 1, 0]
    assert [good_until_ms(moments, index) for index in range(3)] == [None, LATER + KEEP, NOW + KEEP]
    assert is_good(moments, 2, NOW + KEEP - 1)
    assert not is_good(moments, 2, NOW + KEEP)


def test_without_a_key_whose_moment_has_come_the_first_one_signs() -> None:
    assert signer([NOW + 9, NOW + 1], NOW) == 1
    assert signer([5, 5], NOW) == 0


@given(
    st.lists(st.integers(1, 2_000_000), min_size=1, max_size=6),
    st.integers(0, 12_000_000),
    st.integers(-POLICY.margin_ms // 2, POLICY.margin_ms // 2),
    st.data(),
)
def test_whatever_one_replica_signs_the_others_verify(
    pauses: list[int], at_ms: int, skew_ms: int, data: st.DataObject
) -> None:
    """Keys are added one after another; clocks differ; each replica sees each key in time."""
    added = [sum(pauses[: n + 1]) for n in range(len(pauses))]
    moments = [0, *(at + POLICY.publish_ms for at in added)]
    known = [0, *(m for m, at in zip(moments[1:], added, strict=True) if at <= at_ms)]
    signing = known[signer(known, at_ms)]
    other = at_ms + data.draw(st.integers(0, POLICY.lifetime_ms)) + skew_ms
    seen = [0, *(m for m, at in zip(moments[1:], added, strict=True) if at <= other)]
    if signing in seen:
        assert is_good(seen, seen.index(signing), other)
    published = next((at for at in added if at + POLICY.publish_ms == signing), 0)
    assert signing == 0 or at_ms - published >= POLICY.publish_ms
    for earlier, later in pairwise(sorted(set(moments))):
        assert not is_good(moments, moments.index(earlier), later + KEEP)


def test_tokens_of_a_key_that_is_taken_away_are_void_at_once() -> None:
    old, new = generate_signing_key(), generate_signing_key(NOW)
    tokens = AccessTokens([new, old])
    token = AccessTokens([old]).issue(GRANT, "token", NOW)
    assert tokens.verify(token, NOW).user_id == "user"
    tokens.use([new])
    with pytest.raises(TokenInvalid):
        tokens.verify(token, NOW)


def test_a_key_leaves_the_published_ones_when_it_is_over() -> None:
    old, new = generate_signing_key(), generate_signing_key(NOW)
    tokens = AccessTokens([new, old])

    def published(now_ms: int) -> list[str]:
        return [key["kid"] for key in tokens.jwks(now_ms)["keys"]]

    assert published(NOW - POLICY.publish_ms) == published(NOW) == [new.key_id, old.key_id]
    assert published(NOW + KEEP - 1) == [new.key_id, old.key_id]
    assert published(NOW + KEEP) == [new.key_id]
    late = AccessTokens([old]).issue(GRANT, "token", NOW + KEEP)
    with pytest.raises(TokenInvalid):
        tokens.verify(late, NOW + KEEP)


async def test_a_folder_is_followed(tmp_path: Path) -> None:
    first = load_signing_keys(tmp_path)[0]
    used: list[list[str]] = []
    changed = asyncio.Event()

    def use(keys: Sequence[SigningKey]) -> None:
        used.append([key.key_id for key in keys])
        changed.set()

    async def change() -> list[str]:
        async with asyncio.timeout(20):
            await changed.wait()
        changed.clear()
        return used[-1]

    following = asyncio.create_task(follow(tmp_path, use, 0.01))
    assert await change() == [first.key_id]
    second = await asyncio.to_thread(add_signing_key, tmp_path, NOW)
    assert await change() == [second.key_id, first.key_id]
    # What cannot be used changes nothing, and what comes after it is seen.
    broken = tmp_path / "9999999999999-broken.pem"
    broken.write_bytes(b"not a key")
    broken.chmod(0o600)
    await asyncio.sleep(0.1)
    assert len(used) == 2
    broken.unlink()
    (tmp_path / "0001-first.pem").unlink()
    assert await change() == [second.key_id]
    for file, _ in key_files(tmp_path):
        file.unlink()
    await asyncio.sleep(0.1)
    assert len(used) == 3, "an empty folder leaves the last keys"
    following.cancel()
    await asyncio.gather(following, return_exceptions=True)


def test_names_of_old_tell_their_moment(tmp_path: Path) -> None:
    key = add_signing_key(tmp_path, NOW)
    (file,) = tmp_path.glob("*.pem")
    file.rename(tmp_path / f"{NOW * 1_000_000}.pem")
    assert [(k.key_id, k.signs_from_ms) for k in read_signing_keys(tmp_path)] == [(key.key_id, NOW)]


def test_a_mounted_secret_is_read_through_its_group(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "key"
    file.write_bytes(b"secret")
    file.chmod(0o440)
    with pytest.raises(UnsafeKeyFileError):
        read_private(file)
    monkeypatch.setattr(os, "geteuid", lambda: os.getuid() + 1)
    assert read_private(file) == b"secret"
    for mode in (0o444, 0o460, 0o450):
        file.chmod(mode)
        with pytest.raises(UnsafeKeyFileError):
            read_private(file)


def test_an_operator_rotates_and_retires(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VIBESTREAM_KEYS_DIR", str(tmp_path))
    moment = NOW

    def keys(*words: str, fails: bool = False) -> str:
        monkeypatch.setattr("deployments.commands.keys.now_ms", lambda: moment)
        result = CliRunner().invoke(app, ["keys", *words])
        assert result.exit_code == (1 if fails else 0), result.output
        return result.output

    first = keys("list").split()[0]
    assert "signs  0001-first.pem" in keys("list")
    assert "only key" in keys("retire", first[:6], fails=True)
    second = keys("rotate").split()[0]
    assert "waits already" in keys("rotate", fails=True)
    assert f"{second}  signs from" in keys("list")
    moment = LATER
    assert f"{second}  signs  " in keys("list")
    assert f"{first}  verifies until" in keys("list")
    assert "still needed" in keys("retire")
    moment = LATER + KEEP
    assert f"{first}  over" in keys("list")
    assert keys("retire") == f"{first} is retired.\n"
    third = keys("rotate", "--at-once").split()[0]
    assert "0 keys begin" in keys("retire", "nothing", fails=True)
    assert keys("retire", second) == f"{second} is retired.\n"
    assert [key.key_id for key in read_signing_keys(tmp_path)] == [third]
