"""The verifier of proofs, with the keys that are pinned."""

from __future__ import annotations

import secrets

from actors.proof_verifier import ProofVerifier
from deployments.proof_keys import read_keys
from deployments.settings import Settings
from kernels import groth16


def open_verifier(settings: Settings) -> ProofVerifier:
    """The verifier, ready: kernels loaded, its keys' tables made. Blocking.

    Raises ArtifactError, or Malformed for a key that is pinned and bad.
    """
    keys = {version: groth16.parse_key(key) for version, key in read_keys(settings).items()}
    verifier = ProofVerifier(keys, secrets.token_bytes)
    verifier.warm()
    return verifier
