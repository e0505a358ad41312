"""Addresses of wallets, and signatures of them over messages."""

from __future__ import annotations

import re
import secrets

import base58
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from eth_account import Account
from eth_account.messages import encode_defunct
from eth_keys.exceptions import BadSignature
from eth_utils.address import is_checksum_address, to_checksum_address
from eth_utils.exceptions import ValidationError

from domain.users_wallets import check_solana_key
from messages.users_wallets import BadWalletAddress, WalletKind

EVM_ADDRESS = re.compile(r"0x[0-9a-fA-F]{40}", re.ASCII)
EVM_SIGNATURE = re.compile(r"0x[0-9a-fA-F]{130}", re.ASCII)
BASE58_CHARS = 44  # of 32 bytes, at most
SIGNATURE_CHARS = 88  # of 64 bytes in base58, at most
SECP256K1_ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
ZERO_ADDRESS = "0x" + "0" * 40


def new_nonce() -> str:
    """128 random bits in letters and digits, as EIP-4361 wants them."""
    return secrets.token_hex(16)


def normal_address(kind: WalletKind, text: str) -> str:
    """The address in its one normal form. Raises BadWalletAddress."""
    return _evm_address(text) if kind is WalletKind.EVM else _solana_address(text)


def is_signed(kind: WalletKind, address: str, message: str, signature: str) -> bool:
    """Whether the key of a normal address signed the message."""
    if kind is WalletKind.EVM:
        return _is_signed_by_evm(address, message, signature)
    return _is_signed_by_solana(address, message, signature)


def _evm_address(text: str) -> str:
    """EIP-55. One case throughout carries no checksum; a checksum that is there must be right."""
    if not EVM_ADDRESS.fullmatch(text):
        raise BadWalletAddress
    mixed = text[2:] not in {text[2:].lower(), text[2:].upper()}
    if (mixed and not is_checksum_address(text)) or text == ZERO_ADDRESS:
        raise BadWalletAddress
    return str(to_checksum_address(text))


def _solana_address(text: str) -> str:
    try:
        raw = base58.b58decode(text) if len(text) <= BASE58_CHARS and text.isascii() else b""
    except ValueError:
        raise BadWalletAddress from None
    normal = base58.b58encode(check_solana_key(raw)).decode()
    if normal != text:  # leading spaces, which the library strips
        raise BadWalletAddress
    return normal


def _is_signed_by_evm(address: str, message: str, signature: str) -> bool:
    """EIP-191, version E (personal_sign): r, s and v, 65 bytes in hexadecimal.

    The upper half of s is refused (EIP-2): else each signature would have a twin.
    """
    if not EVM_SIGNATURE.fullmatch(signature):
        return False
    raw = bytes.fromhex(signature[2:])
    s, v = int.from_bytes(raw[32:64], "big"), raw[64]
    if s > SECP256K1_ORDER // 2 or v not in {0, 1, 27, 28}:
        return False
    raw = raw[:64] + bytes([v if v >= 27 else v + 27])
    try:
        signer = Account.recover_message(encode_defunct(text=message), signature=raw)
    except (BadSignature, ValidationError, ValueError):
        return False
    return bool(signer == address)


def _is_signed_by_solana(address: str, message: str, signature: str) -> bool:
    """Ed25519 (RFC 8032) over the UTF-8 text: 64 bytes in base58, as Solana's wallets show them."""
    try:
        raw = base58.b58decode(signature) if len(signature) <= SIGNATURE_CHARS else b""
        Ed25519PublicKey.from_public_bytes(base58.b58decode(address)).verify(raw, message.encode())
    except (InvalidSignature, ValueError):
        return False
    return True
