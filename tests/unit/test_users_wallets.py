"""Wallets: published vectors, the one form of an address, and what is no signature."""

from __future__ import annotations

import contextlib
import hashlib
import re

import base58
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from eth_account import Account
from eth_account.messages import encode_defunct
from hypothesis import given
from hypothesis import strategies as st

from domain.users_wallets import Challenge, check_solana_key, message_of
from integrations.wallets import SECP256K1_ORDER, is_signed, normal_address
from messages.users_wallets import BadWalletAddress, WalletKind

EVM, SOLANA = WalletKind.EVM, WalletKind.SOLANA
# The example of web3.js's documentation, `eth.accounts.sign`.
SOME_DATA = (
    "0x2c7536E3605D9C16a7a3D7b1898e529396a65c23",
    "Some data",
    "0xb91467e570a6466aa9e9876cbcd013baba02900b8979d43fe208a4a4f339f5fd"
    "6007e74cd82e037b800186422fc2da167c747ef045e5d18a5f5d4300f8e1a0291c",
)
# RFC 8032, 7.1: secret key, public key, message, signature of tests 1, 2, 3 and SHA(abc).
RFC_8032 = [
    (
        "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
        "",
        "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e06522490155"
        "5fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b",
    ),
    (
        "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
        "72",
        "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da"
        "085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00",
    ),
]
# EIP-55's own examples.
CHECKSUMMED = [
    "0x52908400098527886E0F7030069857D2E4169EE7",
    "0x8617E340B3D01FA5F11F306F4090FD50E238070D",
    "0xde709f2102306220921060314715629080e2fb77",
    "0x27b1fdb04752bbc536007a920d24acb045561c26",
    "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed",
    "0xfB6916095ca1df60bB79Ce92cE3Ea74c37c5d359",
    "0xdbF03B407c01E7cD3CBea99509d93f8DDDC8C6FB",
    "0xD1220A0cf47c7B9Be7A2E6BA89F429762e7b9aDb",
]


def test_the_published_evm_vector() -> None:
    address, message, signature = SOME_DATA
    assert is_signed(EVM, address, message, signature)
    assert is_signed(EVM, address, message, signature[:-2] + "01"), "v as some wallets write it"
    assert not is_signed(EVM, address, message + "!", signature)
    assert not is_signed(EVM, CHECKSUMMED[4], message, signature)


def test_a_twin_of_a_signature_is_refused() -> None:
    address, message, signature = SOME_DATA
    raw = bytes.fromhex(signature[2:])
    high = SECP256K1_ORDER - int.from_bytes(raw[32:64], "big")
    twin = "0x" + (raw[:32] + high.to_bytes(32, "big") + bytes([raw[64] ^ 7])).hex()
    recovered = Account.recover_message(encode_defunct(text=message), signature=twin)
    assert recovered == address, "it is a good one, for those who take it"
    assert not is_signed(EVM, address, message, twin)


@pytest.mark.parametrize(("public", "message", "signature"), RFC_8032)
def test_the_published_ed25519_vectors(public: str, message: str, signature: str) -> None:
    address = base58.b58encode(bytes.fromhex(public)).decode()
    text = bytes.fromhex(message).decode()
    shown = base58.b58encode(bytes.fromhex(signature)).decode()
    assert normal_address(SOLANA, address) == address
    assert is_signed(SOLANA, address, text, shown)
    assert not is_signed(SOLANA, address, text + "x", shown)


@pytest.mark.parametrize("address", CHECKSUMMED)
def test_evm_addresses_have_one_form(address: str) -> None:
    assert normal_address(EVM, address) == address
    assert normal_address(EVM, address.lower()) == address
    assert normal_address(EVM, "0x" + address[2:].upper()) == address


@pytest.mark.parametrize(
    "text",
    ["", "0x", "5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed", CHECKSUMMED[4][:-1],
     CHECKSUMMED[4] + "0", "0X" + CHECKSUMMED[4][2:], CHECKSUMMED[4].replace("aAe", "Aae"),
     "0x" + "g" * 40, "0x" + "0" * 40, " " + CHECKSUMMED[4], CHECKSUMMED[4] + "\n",
     "0x" + "٣" * 40],
)  # fmt: skip
def test_what_is_no_evm_address(text: str) -> None:
    with pytest.raises(BadWalletAddress):
        normal_address(EVM, text)


# The encodings of points of small order, and encodings above p, as libsodium refuses them
# (ge25519_has_small_order), with a y off the curve.
NO_KEYS = [
    "00" * 32,
    "01" + "00" * 31,
    "01" + "00" * 30 + "80",
    "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
    "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc85",
    "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
    "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa",
    "ec" + "ff" * 30 + "7f",
    "ed" + "ff" * 30 + "7f",
    "ee" + "ff" * 30 + "7f",
    "02" + "00" * 31,
]


@pytest.mark.parametrize("encoded", NO_KEYS)
def test_points_that_nobody_can_hold_are_no_keys(encoded: str) -> None:
    address = base58.b58encode(bytes.fromhex(encoded)).decode()
    with pytest.raises(BadWalletAddress):
        normal_address(SOLANA, address)


def test_the_address_of_a_program_is_no_wallet() -> None:
    """As Solana derives them: a hash that is off the curve, about every other one."""
    on_curve = 0
    for bump in range(200):
        raw = hashlib.sha256(bytes([bump]) + b"ProgramDerivedAddress").digest()
        try:
            check_solana_key(raw)
            on_curve += 1
        except BadWalletAddress:
            pass
    assert 60 < on_curve < 140


@given(st.binary(min_size=32, max_size=32))
def test_every_key_that_signs_is_an_address(seed: bytes) -> None:
    key = Ed25519PrivateKey.from_private_bytes(seed)
    address = base58.b58encode(key.public_key().public_bytes_raw()).decode()
    assert normal_address(SOLANA, address) == address
    signature = base58.b58encode(key.sign(b"text")).decode()
    assert is_signed(SOLANA, address, "text", signature)


@given(st.text(max_size=60), st.sampled_from(WalletKind))
def test_any_text_is_an_address_or_refused(text: str, kind: WalletKind) -> None:
    with contextlib.suppress(BadWalletAddress):
        assert normal_address(kind, text)


@given(st.text(max_size=140) | st.from_regex(r"0x[0-9a-f]{130}", fullmatch=True))
def test_any_text_is_no_signature(text: str) -> None:
    address, message, signature = SOME_DATA
    assert is_signed(EVM, address, message, text) == (text == signature)
    solana = base58.b58encode(bytes.fromhex(RFC_8032[0][0])).decode()
    assert not is_signed(SOLANA, solana, "", text)


@given(st.integers(0, 64), st.integers(1, 255))
def test_a_bent_signature_is_wrong(place: int, bit: int) -> None:
    address, message, signature = SOME_DATA
    raw = bytearray.fromhex(signature[2:])
    raw[place] ^= bit
    if raw[64] != 1:  # 28 written otherwise
        assert not is_signed(EVM, address, message, "0x" + raw.hex())


def test_the_message_is_eip_4361s() -> None:
    challenge = Challenge(
        EVM, CHECKSUMMED[4], "mira", "music.example:8443", "https://music.example:8443",
        "0123456789abcdef", "0197a000-0000-7000-8000-000000000001", 1_790_000_000_000,
        1_790_000_300_000,
    )  # fmt: skip
    assert message_of(challenge) == (
        "music.example:8443 wants you to sign in with your Ethereum account:\n"
        "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed\n\n"
        "Link this wallet to the VibeStream account mira. This moves nothing.\n\n"
        "URI: https://music.example:8443\n"
        "Version: 1\n"
        "Chain ID: 1\n"
        "Nonce: 0123456789abcdef\n"
        "Issued At: 2026-09-21T14:13:20.000Z\n"
        "Expiration Time: 2026-09-21T14:18:20.000Z\n"
        "Request ID: 0197a000-0000-7000-8000-000000000001"
    )
    # The grammar of EIP-4361, as far as our messages use it.
    grammar = (
        r"[^/?#\s]+ wants you to sign in with your Ethereum account:\n0x[0-9a-fA-F]{40}\n\n"
        r"[^\n]+\n\nURI: \S+\nVersion: 1\nChain ID: \d+\nNonce: [A-Za-z0-9]{8,}\n"
        r"Issued At: \S+Z\nExpiration Time: \S+Z\nRequest ID: [\w-]+"
    )
    assert re.fullmatch(grammar, message_of(challenge))
