"""The kernels on the golden vectors of listen-v1, and its proofs under the pinned key.

The vectors come from the circuit's own tools (tests/data/proof/make.mjs); here each number of a
witness is derived anew from what a client and the server know.
"""

from __future__ import annotations

import hashlib
import json
import uuid
from pathlib import Path
from typing import Any

import pytest

from kernels import merkle
from kernels.groth16 import Verdict, VerifyingKey, parse_key, parse_proof, parse_signals, verify
from kernels.poseidon import hash_fields

ROOT = Path(__file__).resolve().parents[2]
GOLDEN: dict[str, Any] = json.loads(
    (ROOT / "tests" / "data" / "proof" / "vectors.json").read_text("utf-8")
)
ARTIFACTS = ROOT / "circuits" / "artifacts"
DEPTH, ROWS, CHUNK = 20, 72, 12
NAMES = ("nullifier", "root", "min_played_ms", "max_gap_ms", "recipient", "epoch")


def name_of(case: dict[str, Any]) -> str:
    return str(case["name"])


@pytest.fixture(scope="module")
def key() -> VerifyingKey:
    content = (ARTIFACTS / "listen-v1" / "verification_key.json").read_bytes()
    pins = json.loads((ARTIFACTS / "pins.json").read_text("utf-8"))["listen-v1"]
    assert hashlib.sha256(content).hexdigest() == pins["verification_key.json"]["sha256"]
    return parse_key(content)


@pytest.mark.parametrize("case", GOLDEN["poseidon"], ids=lambda case: len(case["inputs"]))
def test_hashes(case: dict[str, Any]) -> None:
    assert hash_fields(list(map(int, case["inputs"]))) == int(case["hash"])


def test_empty_subtrees() -> None:
    assert merkle.empty_roots()[: DEPTH + 1] == tuple(map(int, GOLDEN["empty"]))


@pytest.mark.parametrize("case", GOLDEN["trees"], ids=lambda case: len(case["leaves"]))
def test_trees(case: dict[str, Any]) -> None:
    leaves = list(map(int, case["leaves"]))
    assert merkle.root(leaves, DEPTH) == int(case["root"])
    for path in case["paths"]:
        siblings = tuple(map(int, path["siblings"]))
        assert merkle.path(leaves, path["index"], DEPTH) == siblings
        assert merkle.climb(leaves[path["index"]], path["index"], siblings) == int(case["root"])


def folded(rows: list[dict[str, Any]]) -> int:
    """The chain over six chunks of twelve rows, the unused ones (0, 0)."""
    pairs = [(int(row["nonce"], 16), int(row["delta_ms"])) for row in rows]
    pairs += [(0, 0)] * (ROWS - len(pairs))
    chain = 0
    for first in range(0, ROWS, CHUNK):
        nonces, deltas = zip(*pairs[first : first + CHUNK], strict=True)
        packed = sum(delta << (16 * at) for at, delta in enumerate(deltas))
        chain = hash_fields([chain, *nonces, packed])
    return chain


@pytest.mark.parametrize("case", GOLDEN["proofs"], ids=name_of)
def test_a_witness_is_what_the_statement_says(case: dict[str, Any]) -> None:
    secret, pool = int(case["secret"]), uuid.UUID(case["pool_id"]).int
    session = uuid.UUID(case["session_id"]).int * 256 + case["stretch"]
    leaf = hash_fields([hash_fields([secret]), session, pool, folded(case["rows"])])
    assert leaf == int(case["leaf"])
    tree = case["tree"]
    root = merkle.climb(leaf, tree["index"], list(map(int, tree["siblings"])))
    assert sum(row["delta_ms"] for row in case["rows"]) == case["played_ms"]
    recipient = uuid.UUID(case["recipient_id"]).int
    signals = [hash_fields([secret, session]), root, case["min_played_ms"], case["max_gap_ms"]]
    assert list(map(int, case["public_signals"])) == [*signals, recipient, case["epoch"]]


@pytest.mark.parametrize("case", GOLDEN["proofs"], ids=name_of)
def test_its_proof_is_valid_for_these_signals_alone(
    case: dict[str, Any], key: VerifyingKey
) -> None:
    proof, signals = parse_proof(case["proof"]), parse_signals(case["public_signals"])
    assert verify(key, proof, signals) is Verdict.VALID
    for at, name in enumerate(NAMES):
        other = [value + (at == place) for place, value in enumerate(signals)]
        assert verify(key, proof, other) is Verdict.PAIRING_FAILED, name
