"""Python peers of the benchmarks: installed when first needed, outside the engine's environment."""

from __future__ import annotations

import subprocess
import venv
from pathlib import Path

WANTED = Path(__file__).with_name("peers") / "requirements.txt"
ENVIRONMENT = Path(__file__).resolve().parents[1] / ".cache" / "benchmark-peers"
PYTHON = ENVIRONMENT / "bin" / "python"
INSTALL_SECONDS = 300


def missing() -> dict[str, str]:
    """The peers that cannot run here, and why. Installs, one by one, those that are not there."""
    if not PYTHON.exists():
        print(f"making the environment of {WANTED.parent.name}", flush=True)
        venv.create(ENVIRONMENT, with_pip=True)
    absent = {}
    present = installed()
    for name, version in wanted().items():
        if present.get(name) != version and (why := _install(f"{name}=={version}")):
            absent[name] = why
    return absent


def wanted() -> dict[str, str]:
    """Versions by name, as the list of requirements pins them."""
    lines = WANTED.read_text("utf-8").splitlines()
    pins = (line.partition("==") for line in lines if line and not line.startswith("#"))
    return {name: version for name, _, version in pins}


def installed() -> dict[str, str]:
    """Versions by name of what is in the environment."""
    code = (
        "from importlib.metadata import distributions as d\nfor x in d(): print(x.name, x.version)"
    )
    said = subprocess.run([PYTHON, "-c", code], capture_output=True, text=True, check=True)
    pairs = (line.split() for line in said.stdout.splitlines())
    return {name.replace("_", "-").lower(): version for name, version in pairs}


def _install(requirement: str) -> str:
    """Why it did not work; empty if it did."""
    print(f"installing {requirement}", flush=True)
    command = [str(PYTHON), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    try:
        done = subprocess.run(
            [*command, "--only-binary=:all:", requirement],
            capture_output=True,
            text=True,
            timeout=INSTALL_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return f"pip took longer than {INSTALL_SECONDS} s"
    return "" if done.returncode == 0 else f"pip failed: {done.stderr.strip()[-300:]}"
