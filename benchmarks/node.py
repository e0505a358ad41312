"""Node packages, installed by `npm ci` when first needed: peers of benchmarks, circuits, prover."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

PEERS = Path(__file__).with_name("peers")
INSTALL_SECONDS = 300


def missing(folder: Path = PEERS) -> str:
    """Why a node package cannot run here; empty if it can. Installs its dependencies if absent."""
    absent = [tool for tool in ("node", "npm") if shutil.which(tool) is None]
    if absent:
        return f"{' and '.join(absent)} not found"
    if is_installed(folder):
        return ""
    print(f"installing {folder.name} from its lock (npm ci)", flush=True)
    try:
        done = subprocess.run(
            ["npm", "ci", "--ignore-scripts", "--loglevel=error"],
            cwd=folder,
            capture_output=True,
            text=True,
            timeout=INSTALL_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return f"npm ci took longer than {INSTALL_SECONDS} s"
    return "" if done.returncode == 0 else f"npm ci failed: {done.stderr.strip()[-300:]}"


def is_installed(folder: Path) -> bool:
    """Whether what npm left is from this lock: it is younger, as npm writes it last."""
    lock, left = folder / "package-lock.json", folder / "node_modules" / ".package-lock.json"
    return left.exists() and left.stat().st_mtime >= lock.stat().st_mtime


def versions() -> dict[str, str]:
    """Node's version and those of the peers."""
    import json

    said = subprocess.run(["node", "--version"], capture_output=True, text=True, check=True)
    wanted = json.loads((PEERS / "package.json").read_text("utf-8"))["dependencies"]
    return {"node": said.stdout.strip().removeprefix("v"), **wanted}
