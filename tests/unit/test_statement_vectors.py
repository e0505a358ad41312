"""The circuit's golden proofs and what the engine makes of the same listens agree."""

from __future__ import annotations

import json
import secrets
from pathlib import Path
from typing import Any

import pytest

from actors.claims import Proof
from actors.proof_verifier import ProofVerifier
from domain import statement
from domain.rewards import tree
from domain.statement import Row
from integrations import proof_artifacts
from kernels import groth16

VECTORS = json.loads(
    (Path(__file__).parents[1] / "data" / "proof" / "vectors.json").read_text("utf-8")
)
VERSION = VECTORS["statement"]


@pytest.fixture(scope="module")
def verifier() -> ProofVerifier:
    key = groth16.parse_key(proof_artifacts.load().verification_key(VERSION))
    return ProofVerifier({VERSION: key}, secrets.token_bytes)


@pytest.mark.parametrize("golden", VECTORS["proofs"], ids=lambda golden: golden["name"])
def test_a_listen_is_folded_as_the_circuit_folds_it(golden: dict[str, Any]) -> None:
    rows = [Row(bytes.fromhex(row["nonce"]), row["delta_ms"]) for row in golden["rows"]]
    session = statement.session_element(golden["session_id"], golden["stretch"])
    pool = statement.element_of(golden["pool_id"])
    assert (session, pool) == (int(golden["session"]), int(golden["pool"]))
    folded = statement.chain(rows)
    assert folded == int(golden["chain"])
    leaf = statement.leaf(int(golden["commitment"]), session, pool, folded)
    assert leaf == int(golden["leaf"])
    signals = statement.read_signals(golden["public_signals"])
    assert signals.root == int(golden["tree"]["root"])
    assert signals.min_played_ms == golden["min_played_ms"]
    assert (signals.recipient, signals.epoch) == (int(golden["recipient"]), golden["epoch"])


@pytest.mark.parametrize("number", range(len(VECTORS["trees"])))
def test_a_tree_has_the_circuits_root(number: int) -> None:
    golden = VECTORS["trees"][number]
    grown = tree.append(tree.Tree(), tuple(golden["leaves"]))
    assert grown.root == (golden["root"] if golden["leaves"] else "")


def test_the_golden_proofs_hold_under_the_pinned_key(verifier: ProofVerifier) -> None:
    proofs = [
        Proof(VERSION, json.dumps(golden["proof"]).encode(), tuple(golden["public_signals"]))
        for golden in VECTORS["proofs"]
    ]
    assert verifier.verify_now(proofs) == ["valid"] * len(proofs)
    bent = [p._replace(signals=(*p.signals[:5], str(int(p.signals[5]) + 1))) for p in proofs]
    strange = proofs[0]._replace(key_version="listen-v0")
    broken = proofs[0]._replace(proof=b"{}")
    several = [bent[0], proofs[1], strange, broken]
    assert verifier.verify_now(several) == ["pairing-failed", "valid", "unknown-key", "malformed"]
