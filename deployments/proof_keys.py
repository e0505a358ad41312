"""Which verification keys there are: the circuits' own, and those of tests if settings say so."""

from __future__ import annotations

from pathlib import Path

from deployments.settings import Settings
from integrations import proof_artifacts


def folders(settings: Settings) -> tuple[Path, ...]:
    """Where pinned artifacts lie."""
    extra = (Path(settings.test_proof_keys),) if settings.test_proof_keys else ()
    return (proof_artifacts.FOLDER, *extra)


def versions(settings: Settings) -> tuple[str, ...]:
    """The versions of the keys that are pinned, without reading them."""
    pins = (proof_artifacts.read_pins(f / proof_artifacts.PINS) for f in folders(settings))
    return tuple(sorted(version for of_one in pins for version in of_one))


def read_keys(settings: Settings) -> dict[str, bytes]:
    """The checked keys by version. Raises ArtifactError, also where a test's key takes a name."""
    keys: dict[str, bytes] = {}
    for folder in folders(settings):
        for version, content in proof_artifacts.load(folder).keys.items():
            if version in keys:
                raise proof_artifacts.ArtifactError(f"{version} is pinned twice")
            keys[version] = content
    return keys
