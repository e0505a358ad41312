"""Verifies Groth16 proofs in batches, off the event loop, under keys that were pinned."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence

from actors.claims import Proof
from domain.rewards.claims import UNKNOWN_KEY
from kernels import groth16

Parsed = tuple[groth16.Proof, groth16.PublicSignals]


class ProofVerifier:
    """Verifies what it is given together, a batch for each key.

    keys: by version, from pinned artifacts and never from a request.  weights: so many fresh bytes
    of a cryptographic generator; who could guess them could have a bad proof pass in a batch.
    """

    def __init__(
        self, keys: Mapping[str, groth16.VerifyingKey], weights: Callable[[int], bytes]
    ) -> None:
        self._keys = dict(keys)
        self._weights = weights

    @property
    def versions(self) -> tuple[str, ...]:
        """The versions whose proofs it can verify."""
        return tuple(sorted(self._keys))

    def warm(self) -> None:
        """Load the kernels and each key's tables, which the first proof would wait for."""
        for key in self._keys.values():
            groth16.warm(key)

    async def verify(self, proofs: Sequence[Proof]) -> Sequence[str]:
        """A verdict for each proof, in order. The kernels let go of the GIL meanwhile."""
        return await asyncio.to_thread(self.verify_now, proofs)

    def verify_now(self, proofs: Sequence[Proof]) -> list[str]:
        """As `verify`, in this thread."""
        verdicts = [UNKNOWN_KEY] * len(proofs)
        readable: dict[str, list[tuple[int, Parsed]]] = {}
        for place, proof in enumerate(proofs):
            if proof.key_version not in self._keys:
                continue
            try:
                parsed = groth16.parse_proof(proof.proof), groth16.parse_signals(proof.signals)
            except groth16.Malformed as malformed:
                verdicts[place] = malformed.code
            else:
                readable.setdefault(proof.key_version, []).append((place, parsed))
        for version, together in readable.items():
            found = self._together(version, [parsed for _, parsed in together])
            for (place, _), verdict in zip(together, found, strict=True):
                verdicts[place] = verdict
        return verdicts

    def _together(self, version: str, parsed: Sequence[Parsed]) -> list[str]:
        found: list[str] = []
        for start in range(0, len(parsed), groth16.MAX_BATCH):
            part = parsed[start : start + groth16.MAX_BATCH]
            weights = self._weights(groth16.WEIGHT * len(part))
            proofs, signals = [p for p, _ in part], [s for _, s in part]
            verdicts = groth16.verify_batch(self._keys[version], proofs, signals, weights)
            found += [verdict.value for verdict in verdicts]
        return found
