"""The vectors of tests/data/groth16: made by snarkjs, honest and tampered."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parents[1] / "data" / "groth16"
CIRCUITS = ("public0", "public1", "public2", "public6", "public9", "public40")


@cache
def read(name: str) -> Any:
    return json.loads((FOLDER / name).read_text("utf-8"))


def key_file(circuit: str) -> Path:
    return FOLDER / f"{circuit}.key.json"


def proofs(circuit: str) -> list[dict[str, Any]]:
    """`{"proof": …, "publicSignals": […]}` of honest witnesses."""
    found: list[dict[str, Any]] = read(f"{circuit}.proofs.json")
    return found


def tampered() -> list[dict[str, Any]]:
    """`{key, why, expected, proof, publicSignals, snarkjs}`."""
    found: list[dict[str, Any]] = read("tampered.json")
    return found


def keys() -> list[dict[str, Any]]:
    """`{why, expected, key}`: "valid" for the one that is as it was made."""
    found: list[dict[str, Any]] = read("keys.json")
    return found
