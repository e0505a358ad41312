"""The player's prover: web/prover in node, asked through a pipe. The secret stays on this side."""

from __future__ import annotations

import asyncio
import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

SCRIPT = Path(__file__).with_name("prove.mjs")
PACKAGES = SCRIPT.parent.parent / "web" / "prover" / "node_modules"
PATIENCE_S = 120.0


class CannotProveError(Exception):
    """The prover failed, or is not there."""


def why_missing() -> str:
    """What keeps this machine from proving; empty if nothing does."""
    if shutil.which("node") is None:
        return "node is not installed"
    if not PACKAGES.is_dir():
        return "web/prover has no packages yet: npm ci --prefix web/prover"
    return ""


async def new_identity() -> dict[str, str]:
    """A fresh `secret` and its `commitment`, decimal. Raises CannotProveError."""
    identity: dict[str, str] = await _ask({"ask": "identity"})
    return identity


async def first_leaf(secret: str, session: dict[str, Any]) -> str:
    """The leaf of the session's first stretch, decimal. Raises CannotProveError."""
    answer: dict[str, str] = await _ask({"ask": "leaf", "secret": secret, **session})
    return answer["leaf"]


async def prove_claims(
    secret: str,
    session: dict[str, Any],
    tree: dict[str, Any],
    terms: dict[str, Any],
    recipient: str,
) -> dict[str, Any]:
    """`version`, and in `claims` a proof for each stretch of the session. Raises CannotProveError.

    session: `session_id`, `pool_id`, `rows`.  tree: `epoch` and all `leaves` in order.  terms: of
    the engine.  recipient: whose user id the reward goes to.
    """
    facts = {"secret": secret, "terms": terms, "recipient": recipient}
    answer: dict[str, Any] = await _ask({"ask": "claims", **facts, **session, **tree})
    return answer


async def _ask(question: dict[str, Any]) -> Any:
    process = await asyncio.create_subprocess_exec(
        "node",
        str(SCRIPT),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(PATIENCE_S):
            out, errors = await process.communicate(json.dumps(question).encode())
    except TimeoutError:
        process.kill()
        await process.wait()
        raise CannotProveError("the prover does not come to an end") from None
    if process.returncode:
        lines: Sequence[str] = errors.decode(errors="replace").strip().splitlines()
        why = next((line for line in lines if "Error" in line), "")
        raise CannotProveError(why or "the prover failed")
    return json.loads(out)
