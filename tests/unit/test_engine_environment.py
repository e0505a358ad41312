"""What the engine tells Ray Serve: HAProxy's ports and files are this engine's alone."""

from __future__ import annotations

import pytest

from deployments.engine import serve_environment
from deployments.settings import Settings

OWN = ("_PORT", "_STATE_BASE", "_STATE_FILE", "_SOCKET_PATH", "_FILE_LOC")


def _own(port: int) -> set[str]:
    environment = serve_environment(Settings(http_port=port))
    return {value for name, value in environment.items() if name.endswith(OWN)}


def test_two_engines_share_no_port_and_no_file() -> None:
    assert len(_own(8000)) == len(OWN) + 3
    assert not _own(8000) & _own(8001)


@pytest.mark.parametrize("port", [1, 8000, 49_999, 50_000, 65_535])
def test_its_ports_are_ports(port: int) -> None:
    ports = [int(value) for value in _own(port) if value.isdecimal()]
    assert len({port, *ports}) == 5
    assert all(0 < p < 65_536 for p in ports)
