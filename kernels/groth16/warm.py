"""Compile the verifier's kernels, or load them from the cache, before the first proof waits for
them."""

from __future__ import annotations

from collections.abc import Callable

from kernels.bn254.twist import GENERATOR, double
from kernels.groth16.bisection import verify_batch
from kernels.groth16.each import verify_each
from kernels.groth16.formats import Proof, VerifyingKey
from kernels.groth16.key import prepare
from kernels.groth16.per_proof import per_proof
from kernels.groth16.verify import verify
from kernels.groth16.weights import WEIGHT

# The smallest key that can be prepared; nobody knows a proof under it, and none is needed.
_G1 = (1, 2)
_KEY = VerifyingKey(_G1, GENERATOR, GENERATOR, double(GENERATOR)[0], (_G1, _G1))
_PROOF = Proof(_G1, GENERATOR, _G1)


def warm(key: VerifyingKey) -> None:
    """Do what a first verification would wait for: the kernels, and this key's tables and lines."""
    compile_all()
    prepare(key)


def compile_all(report: Callable[[str], None] | None = None) -> None:
    """Have every kernel of the verifier in memory; `report` is told each part before it begins."""
    say = report or _silent
    say("pairing and tables of a key")
    prepare(_KEY)
    say("verification of one proof")
    verify(_KEY, _PROOF, (1,))
    say("verification of many proofs, each on its own")
    verify_each(_KEY, [_PROOF] * 2, [(1,)] * 2)
    say("verification of many proofs")
    count = per_proof().few + 1
    verify_batch(_KEY, [_PROOF] * count, [(1,)] * count, bytes(WEIGHT * count))


def _silent(_part: str) -> None:
    pass
