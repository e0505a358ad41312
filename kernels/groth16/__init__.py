"""Groth16 over BN254: verify snarkjs's proofs, one or many, with every check and a typed verdict.

    key = parse_key(Path("verification_key.json").read_bytes())
    verdict = verify(key, parse_proof(proof_json), parse_signals(public_json))

Nothing is constant-time: keys, proofs and inputs are all public.
"""

from kernels.groth16.bisection import MAX_BATCH, verify_batch
from kernels.groth16.each import EACH_AT_ONCE, verify_each
from kernels.groth16.formats import (
    Proof,
    PublicSignals,
    VerifyingKey,
    parse_key,
    parse_proof,
    parse_signals,
)
from kernels.groth16.verdict import Malformed, Verdict
from kernels.groth16.verify import verify
from kernels.groth16.warm import compile_all, warm
from kernels.groth16.weights import WEIGHT

__all__ = [
    "EACH_AT_ONCE",
    "MAX_BATCH",
    "WEIGHT",
    "Malformed",
    "Proof",
    "PublicSignals",
    "Verdict",
    "VerifyingKey",
    "compile_all",
    "parse_key",
    "parse_proof",
    "parse_signals",
    "verify",
    "verify_batch",
    "verify_each",
    "warm",
]
