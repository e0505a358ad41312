"""The rules of second factors: published vectors, what suffices, how guessing is slowed."""

from __future__ import annotations

import json
import stat
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.users_factors import (
    POLICY,
    RECENT_MS,
    Factors,
    Sensitive,
    counter_is_sound,
    factor_name,
    is_recent,
    may_guess_at,
    new_step,
    second_methods,
    step_up_methods,
)
from integrations import one_time_passwords as otp
from integrations.opaque_tokens import new_token
from integrations.private_files import UnsafeKeyFileError
from integrations.sealing import SealBrokenError, Vault, load_vault
from messages.users_factors import BadFactorName
from messages.users_sessions import Method

NONE, BOTH = Factors(), Factors(True, 2, 10)
DAY_MS = 86_400_000

# RFC 6238, appendix B (SHA-1), of which an app shows the last six digits.
RFC_6238 = [
    (59, "94287082"),
    (1_111_111_109, "07081804"),
    (1_111_111_111, "14050471"),
    (1_234_567_890, "89005924"),
    (2_000_000_000, "69279037"),
    (20_000_000_000, "65353130"),
]
RFC_SECRET = "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ"


@pytest.mark.parametrize(("seconds", "code"), RFC_6238)
def test_the_published_codes(seconds: int, code: str) -> None:
    step = seconds * 1_000 // otp.STEP_MS
    for typed in (code[-6:], f" {code[2:5]} {code[5:]}\n"):
        assert otp.matching_steps(RFC_SECRET, typed, seconds * 1_000) == [step]
    for late in (-2, 2):
        at_ms = (step + late) * otp.STEP_MS
        assert step not in otp.matching_steps(RFC_SECRET, code[-6:], at_ms)


def test_a_secret_and_its_uri() -> None:
    secret = otp.new_totp_secret()
    assert secret != otp.new_totp_secret()
    uri = otp.provisioning_uri(secret, "mira")
    assert uri == f"otpauth://totp/VibeStream:mira?secret={secret}&issuer=VibeStream"
    assert otp.qr_svg(uri).startswith("<svg")
    assert "script" not in otp.qr_svg(uri)


def test_recovery_codes_are_random_and_readable() -> None:
    codes = otp.new_recovery_codes(500)
    assert len(set(codes)) == 500
    assert {len(code) for code in codes} == {27}
    letters = {letter for code in codes for letter in code} - {"-"}
    assert letters == set(otp.RECOVERY_ALPHABET)
    assert len(letters) ** otp.RECOVERY_CHARS >= 2**112
    for code in codes:
        normal = otp.normal_recovery_code(code)
        assert otp.normal_recovery_code(code.lower().replace("-", " ")) == normal


@given(st.integers(0, 500), st.integers(1, 2**41))
def test_the_wait_only_grows_and_ends(failures: int, last_at_ms: int) -> None:
    heard = may_guess_at(failures, last_at_ms)
    assert heard <= may_guess_at(failures + 1, last_at_ms)
    assert heard <= last_at_ms + POLICY.longest_wait_ms
    assert (heard == 0) == (failures < POLICY.free_failures)


def test_a_year_of_guessing_finds_a_code_once_in_a_thousand() -> None:
    now_ms = guesses = failures = 0
    while now_ms < 365 * DAY_MS:
        failures += 1
        guesses += 1
        now_ms = max(now_ms, may_guess_at(failures, now_ms))
    assert guesses < 400
    assert guesses * (2 * otp.WINDOW + 1) / 10**6 < 0.0012


@pytest.mark.parametrize(
    ("factors", "second", "step_up"),
    [
        (NONE, (), ("pwd",)),
        (Factors(recovery_codes=10), (), ("pwd",)),
        (Factors(totp=True), ("otp",), ("otp",)),
        (Factors(totp=True, recovery_codes=1), ("otp", "recovery"), ("otp",)),
        (Factors(passkeys=1), ("hwk",), ("hwk",)),
        (BOTH, ("hwk", "otp", "recovery"), ("hwk", "otp")),
    ],
)
def test_what_is_offered(
    factors: Factors, second: tuple[str, ...], step_up: tuple[str, ...]
) -> None:
    assert second_methods(factors) == second
    assert step_up_methods(factors) == step_up


@pytest.mark.parametrize(
    ("methods", "factors", "age_ms", "suffices"),
    [
        (("pwd",), NONE, 0, True),
        (("pwd",), NONE, POLICY.recent_ms, True),
        (("pwd",), NONE, POLICY.recent_ms + 1, False),
        (("google",), NONE, 0, True),
        (("pwd",), BOTH, 0, False),
        (("google",), BOTH, 0, False),
        ((), BOTH, 0, False),
        (("pwd", "otp"), BOTH, 0, True),
        (("pwd", "recovery"), BOTH, 0, True),
        (("hwk",), BOTH, POLICY.recent_ms, True),
        (("hwk",), BOTH, POLICY.recent_ms + 1, False),
    ],
)
def test_what_suffices(
    methods: tuple[str, ...], factors: Factors, age_ms: int, suffices: bool
) -> None:
    at_ms = 1_790_000_000_000
    assert is_recent(at_ms, methods, factors, at_ms + age_ms, POLICY.recent_ms) is suffices


def test_every_sensitive_action_has_an_age() -> None:
    assert set(RECENT_MS) == set(Sensitive)


@given(st.lists(st.integers(0, 100), max_size=5), st.integers(0, 100))
def test_a_step_is_taken_once(steps: list[int], last: int) -> None:
    step = new_step(steps, last)
    if step is not None:
        assert step in steps
        assert step > last
        assert new_step(steps, step) is None


@pytest.mark.parametrize(
    ("known", "shown", "sound"),
    [(0, 0, True), (0, 1, True), (5, 6, True), (5, 900, True), (5, 5, False), (5, 4, False),
     (5, 0, False), (2**32 - 1, 0, False)],
)  # fmt: skip
def test_a_counter_goes_on(known: int, shown: int, sound: bool) -> None:
    assert counter_is_sound(known, shown) is sound


@pytest.mark.parametrize(
    "name", ["", " ", "\t", "x" * 65, "a\nb", "a\u200bb", "\ud800", "a\u2028b"]
)
def test_names_that_are_none(name: str) -> None:
    with pytest.raises(BadFactorName):
        factor_name(name)


def test_names_are_in_normal_form() -> None:
    assert factor_name("  Mi\u0301ra's téléphone 📱 ") == "Míra's téléphone 📱"


@given(st.binary(max_size=200), st.integers(0, 300), st.integers(1, 255))
def test_what_is_sealed_opens_whole_and_in_its_place(secret: bytes, at: int, bit: int) -> None:
    vault = Vault([b"a" * 32])
    sealed = vault.seal(secret, "here")
    assert secret not in sealed or len(secret) < 4
    assert vault.open(sealed, "here") == secret
    with pytest.raises(SealBrokenError):
        vault.open(sealed, "there")
    bent = bytearray(sealed)
    bent[at % len(bent)] ^= bit
    for wrong in (bytes(bent), sealed[:-1], sealed + b"x", b"", sealed[:9]):
        with pytest.raises(SealBrokenError):
            vault.open(wrong, "here")


def test_the_same_secret_is_sealed_otherwise_each_time() -> None:
    vault = Vault([b"a" * 32])
    assert vault.seal(b"secret", "here") != vault.seal(b"secret", "here")


def test_a_new_key_seals_and_the_old_one_opens() -> None:
    old, both, other = Vault([b"a" * 32]), Vault([b"b" * 32, b"a" * 32]), Vault([b"c" * 32])
    sealed, digest = old.seal(b"secret", "here"), old.digest("code", "here")
    assert both.open(sealed, "here") == b"secret"
    assert digest in both.digests("code", "here")
    assert both.digest("code", "here") != digest
    with pytest.raises(SealBrokenError):
        old.open(both.seal(b"secret", "here"), "here")
    assert digest not in other.digests("code", "here")
    assert digest not in both.digests("code", "there")


def test_keys_are_made_once_kept_private_and_taken_newest_first(tmp_path: Path) -> None:
    folder = tmp_path / "sealing"
    sealed = load_vault(folder).seal(b"secret", "here")
    (file,) = folder.glob("*.key")
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    newer = folder / "0002.key"
    newer.touch(mode=0o600)
    newer.write_bytes(b"n" * 32)
    vault = load_vault(folder)
    assert vault.open(sealed, "here") == b"secret"
    assert Vault([b"n" * 32]).open(vault.seal(b"x", "here"), "here") == b"x"
    newer.chmod(0o644)
    with pytest.raises(UnsafeKeyFileError):
        load_vault(folder)


def test_tokens_are_long_and_none_is_another() -> None:
    assert len({new_token() for _ in range(100)}) == 100
    assert len(new_token()) >= 43
    assert json.dumps(new_token()).isascii()


def test_methods_are_written_as_in_tokens() -> None:
    assert {method.value for method in Method} >= {"pwd", "otp", "hwk", "recovery"}
