"""What a user is told of a session: the device, the place."""

from __future__ import annotations

import pytest

from domain.users_sessions import joined, place_of
from integrations.devices import UNKNOWN, device_label
from messages.users_sessions import Method

PLACES = [
    ("127.0.0.1", "this machine"),
    ("::1", "this machine"),
    ("10.4.5.6", "private network"),
    ("fd00::1", "private network"),
    ("fe80::1%eth0", "private network"),
    ("8.8.4.4", "8.8.4.0/24"),
    ("::ffff:8.8.4.4", "8.8.4.0/24"),
    ("2001:4860:4860:1::8888", "2001:4860:4860::/48"),
    ("", "unknown"),
    ("testclient", "unknown"),
]


@pytest.mark.parametrize(("address", "place"), PLACES)
def test_a_place_is_never_an_address(address: str, place: str) -> None:
    assert place_of(address) == place


DEVICES = [
    (
        "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) "
        "Chrome/126.0.0.0 Safari/537.36",
        "Chrome on Windows",
    ),
    (
        "Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) AppleWebKit/605.1.15 "
        "(KHTML, like Gecko) Version/17.5 Mobile/15E148 Safari/604.1",
        "Mobile Safari on iOS (iPhone)",
    ),
    ("", UNKNOWN),
    ("x" * 100_000, UNKNOWN),
    ("\x00<script>", UNKNOWN),
]


@pytest.mark.parametrize(("user_agent", "label"), DEVICES)
def test_a_device_has_a_name_that_its_owner_knows(user_agent: str, label: str) -> None:
    assert device_label(user_agent) == label


def test_methods_are_joined_in_the_order_of_their_first_use() -> None:
    known = (Method.PASSWORD,)
    assert joined(known, (Method.PASSWORD, Method.PASSKEY)) == (Method.PASSWORD, Method.PASSKEY)
