"""Whose address a request has, when proxies and liars stand between."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.client_address import LOOPBACK, NOWHERE, origin, parse_networks

PROXIES = parse_networks(["10.0.0.0/8", "2001:db8:ffff::/48"])

# peer, X-Forwarded-For, address, network, whether a proxy of ours vouches
CASES = [
    ("203.0.113.7", [], "203.0.113.7", "203.0.113.7", False),
    ("203.0.113.7", ["198.51.100.1"], "203.0.113.7", "203.0.113.7", False),
    ("10.0.0.1", ["203.0.113.7"], "203.0.113.7", "203.0.113.7", True),
    ("10.0.0.1", ["1.1.1.1, 203.0.113.7"], "203.0.113.7", "203.0.113.7", True),
    ("10.0.0.1", ["1.1.1.1", "203.0.113.7"], "203.0.113.7", "203.0.113.7", True),
    ("10.0.0.1", ["203.0.113.7, 10.0.0.9"], "203.0.113.7", "203.0.113.7", True),
    ("127.0.0.1", ["203.0.113.7"], "203.0.113.7", "203.0.113.7", False),
    ("127.0.0.1", ["1.1.1.1, 203.0.113.7"], "203.0.113.7", "203.0.113.7", False),
    ("127.0.0.1", ["203.0.113.7, 10.0.0.1"], "203.0.113.7", "203.0.113.7", True),
    ("127.0.0.1", ["1.1.1.1, 127.0.0.1"], "127.0.0.1", "127.0.0.1", False),
    ("127.0.0.1", [], "127.0.0.1", "127.0.0.1", False),
    ("10.0.0.1", [], "10.0.0.1", "10.0.0.1", True),
    ("10.0.0.1", ["nonsense"], "10.0.0.1", "10.0.0.1", True),
    ("10.0.0.1", [""], "10.0.0.1", "10.0.0.1", True),
    ("10.0.0.1", ["203.0.113.7, nonsense"], "10.0.0.1", "10.0.0.1", True),
    ("10.0.0.1", ["203.0.113.7:4711"], "203.0.113.7", "203.0.113.7", True),
    ("10.0.0.1", ['"[2001:db8::1]:4711"'], "2001:db8::1", "2001:db8::/64", True),
    ("2001:db8:ffff::1", ["2001:db8:1:2:3:4:5:6"], "2001:db8:1:2:3:4:5:6",
     "2001:db8:1:2::/64", True),
    ("fe80::1%eth0", [], "fe80::1", "fe80::/64", False),
    ("::ffff:203.0.113.7", [], "203.0.113.7", "203.0.113.7", False),
    ("::ffff:10.0.0.1", ["203.0.113.7"], "203.0.113.7", "203.0.113.7", True),
    ("", ["203.0.113.7"], str(NOWHERE), str(NOWHERE), False),
    ("unix:", ["203.0.113.7"], str(NOWHERE), str(NOWHERE), False),
]  # fmt: skip


@pytest.mark.parametrize(("peer", "forwarded", "address", "network", "vouched"), CASES)
def test_the_nearest_hop_that_nobody_vouches_for(
    peer: str, forwarded: list[str], address: str, network: str, vouched: bool
) -> None:
    assert origin(peer, forwarded, PROXIES, LOOPBACK) == (address, network, vouched)


@given(st.lists(st.ip_addresses().map(str), max_size=30), st.text(max_size=20))
def test_a_client_behind_a_proxy_cannot_choose_its_address(claims: list[str], text: str) -> None:
    claimed = [", ".join([*claims, text]), "198.51.100.7"]  # the last is the proxy's own word
    assert origin("10.0.0.1", claimed, PROXIES, LOOPBACK).address == "198.51.100.7"


@given(st.text(max_size=40), st.lists(st.text(max_size=40), max_size=3))
def test_no_header_is_an_error(peer: str, forwarded: list[str]) -> None:
    assert origin(peer, forwarded, PROXIES, LOOPBACK).address


def test_addresses_of_one_subscriber_are_one_network() -> None:
    found = {origin(f"2001:db8:1:2::{n:x}", [], ()).network for n in range(1, 200)}
    assert found == {"2001:db8:1:2::/64"}


@pytest.mark.parametrize("text", ["", "10.0.0.1/8", "example.org", "10.0.0.0/33"])
def test_a_bad_network_is_an_error(text: str) -> None:
    with pytest.raises(ValueError):
        parse_networks([text])
