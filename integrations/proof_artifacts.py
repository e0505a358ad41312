"""The circuits' pinned files: proving and verification keys, looked up by version.

A version names a statement (`listen-v1`). Its files are pinned by SHA-256 in `pins.json`, which is
part of the source: a file that differs is refused, whoever put it there. A verification key is only
ever found here, by version; nothing takes one from a request.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import msgspec

FOLDER = Path(__file__).resolve().parents[1] / "circuits" / "artifacts"
PINS = "pins.json"
VERIFICATION_KEY = "verification_key.json"
MAX_PINS_BYTES = 1 << 20
MAX_FILE_BYTES = 64 << 20
NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")


class ArtifactError(Exception):
    """The installation's files are not the pinned ones: nothing may be proved or verified."""


class UnknownVersion(LookupError):  # noqa: N818 - what it says of the version
    """No artifacts of this version (or no file of this name) are pinned."""


class Pin(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a file must be. sha256: 64 hexadecimal digits.  bytes: its size."""

    sha256: str
    bytes: int


@dataclass(frozen=True, slots=True)
class Artifacts:
    """Checked files. Keys are in memory, so what was checked is what is used."""

    folder: Path
    pins: Mapping[str, Mapping[str, Pin]]
    keys: Mapping[str, bytes]

    @property
    def versions(self) -> tuple[str, ...]:
        return tuple(sorted(self.keys))

    def verification_key(self, version: str) -> bytes:
        """snarkjs's verification_key.json of a version; `UnknownVersion` if there is none."""
        try:
            return self.keys[version]
        except KeyError:
            raise UnknownVersion(f"no verification key of version {version!r}") from None

    def path(self, version: str, name: str) -> Path:
        """Where a pinned file lies; `UnknownVersion` for one that is not pinned."""
        if name not in self.pins.get(version, {}):
            raise UnknownVersion(f"no pinned file {name!r} of version {version!r}")
        return self.folder / version / name


def load(folder: Path = FOLDER) -> Artifacts:
    """Checks every pinned file below `folder` (some 10 MB a version, tens of milliseconds).

    Raises ArtifactError that names the first file that is missing, of another size or content,
    or the fault of pins.json. Blocking: call it at start, off the event loop.
    """
    pins = read_pins(folder / PINS)
    keys: dict[str, bytes] = {}
    for version, files in pins.items():
        if VERIFICATION_KEY not in files:
            raise ArtifactError(f"{PINS} pins no {VERIFICATION_KEY} for {version}")
        for name, pin in files.items():
            content = checked(folder / version / name, pin)
            if name == VERIFICATION_KEY:
                keys[version] = content
    return Artifacts(folder, pins, keys)


def read_pins(path: Path) -> dict[str, dict[str, Pin]]:
    """version -> file name -> pin. Raises ArtifactError."""
    try:
        content = read_at_most(path, MAX_PINS_BYTES)
        pins = msgspec.json.decode(content, type=dict[str, dict[str, Pin]])
    except (OSError, msgspec.MsgspecError) as fault:
        raise ArtifactError(f"{path} cannot be read: {fault}") from fault
    for name in (*pins, *(name for files in pins.values() for name in files)):
        if not NAME.fullmatch(name):
            raise ArtifactError(f"{path} pins a name that is no file name: {name!r}")
    return pins


def checked(path: Path, pin: Pin) -> bytes:
    """The file's content if it is the pinned one. Raises ArtifactError."""
    try:
        content = read_at_most(path, MAX_FILE_BYTES)
    except OSError as fault:
        raise ArtifactError(f"{path} cannot be read: {fault}") from fault
    found = hashlib.sha256(content).hexdigest()
    if len(content) != pin.bytes or found != pin.sha256:
        raise ArtifactError(
            f"{path} is not the pinned file: {len(content)} bytes with SHA-256 {found}, "
            f"pinned are {pin.bytes} bytes with {pin.sha256}"
        )
    return content


def read_at_most(path: Path, limit: int) -> bytes:
    with path.open("rb") as file:
        content = file.read(limit + 1)
    if len(content) > limit:
        raise ArtifactError(f"{path} is larger than {limit} bytes")
    return content
