"""Wallets of users: what may be refused, what happened.

Facts do not carry the address: it names a person on a public ledger, and they outlive the account.
"""

from __future__ import annotations

from enum import StrEnum

import msgspec

from messages.errors import Conflict, Forbidden, Invalid, NotFound


class WalletKind(StrEnum):
    """Which chains an address belongs to, and so how its key signs."""

    EVM = "evm"
    SOLANA = "solana"


# --- errors -------------------------------------------------------------------------------------


class BadWalletAddress(Invalid):
    """This is not the address of a key on such a chain."""

    code = "wallet-address-invalid"


class WalletSignatureWrong(Forbidden):
    """The signature is not one of this address over the challenge's message."""

    code = "wallet-signature-wrong"


class WalletChallengeNotFound(Conflict):
    """This challenge was answered before, is too old, or was given to somebody else."""

    code = "wallet-challenge-not-found"


class WalletTaken(Conflict):
    """This wallet is linked already."""

    code = "wallet-taken"


class TooManyWallets(Conflict):
    """You have as many wallets as an account may have."""

    code = "wallets-limit"


class WalletNotFound(NotFound):
    """You have no such wallet."""

    code = "wallet-not-found"


# --- events -------------------------------------------------------------------------------------


class WalletLinked(msgspec.Struct, frozen=True, tag=True):
    """Public, to its user: they showed that they hold the wallet's key."""

    user_id: str
    wallet_id: str
    kind: WalletKind
    at_ms: int


class WalletUnlinked(msgspec.Struct, frozen=True, tag=True):
    """Public, to its user: the wallet is theirs no longer, as far as the platform knows."""

    user_id: str
    wallet_id: str
    kind: WalletKind
    at_ms: int


WalletEvent = WalletLinked | WalletUnlinked
