"""Where a request comes from: the peer, or what the last of our own proxies saw."""

import pytest

from api.throttle import Addresses

PROXIES = ("10.0.0.0/8", "2001:db8:f::/48")


@pytest.mark.parametrize(
    ("peer", "forwarded", "found"),
    [
        ("198.51.100.1", [], "198.51.100.1"),
        # Nobody but a proxy of ours is believed.
        ("198.51.100.1", ["203.0.113.9"], "198.51.100.1"),
        ("10.0.0.1", ["198.51.100.1"], "198.51.100.1"),
        # From the right: what stands further left was written by whoever sent the request.
        ("10.0.0.1", ["203.0.113.9, 198.51.100.1"], "198.51.100.1"),
        ("10.0.0.1", ["203.0.113.9", "198.51.100.1"], "198.51.100.1"),
        ("10.0.0.1", ["203.0.113.9, 198.51.100.1 , 10.1.1.1", "10.2.2.2"], "198.51.100.1"),
        ("10.0.0.1", ["10.0.0.9, 198.51.100.1, 10.1.1.1"], "198.51.100.1"),
        ("10.0.0.1", [], "10.0.0.1"),
        ("10.0.0.1", ["10.1.1.1"], "10.1.1.1"),
        ("2001:db8:f::1", ["198.51.100.1"], "198.51.100.1"),
        # One customer has all of the first 64 bits, and not one more.
        ("2001:db8::1", [], "2001:db8::/64"),
        ("2001:db8::ffff:ffff:ffff:ffff", [], "2001:db8::/64"),
        ("2001:db8:0:1::1", [], "2001:db8:0:1::/64"),
        ("10.0.0.1", ["[2001:db8::1]"], "2001:db8::/64"),
        # What a proxy that listens to both kinds calls an address of version 4: there they would all have the same 64 bits.
        ("10.0.0.1", ["::ffff:198.51.100.1"], "198.51.100.1"),
        ("::ffff:198.51.100.1", ["203.0.113.9"], "198.51.100.1"),
        ("::ffff:10.0.0.1", ["203.0.113.9, 198.51.100.1, ::ffff:10.1.1.1"], "198.51.100.1"),
        # What is no address is the proxy's own doing.
        ("10.0.0.1", ["198.51.100.1:4711"], "10.0.0.1"),
    ],
)
def test_an_address_is_read_from_the_right(peer: str, forwarded: list[str], found: str) -> None:
    assert Addresses(PROXIES).of(peer, ", ".join(forwarded)) == found


@pytest.mark.parametrize("peer", ["198.51.100.1", "10.0.0.1", "127.0.0.1", "::ffff:198.51.100.1"])
def test_without_proxies_of_ours_the_header_is_not_read(peer: str) -> None:
    assert Addresses(()).of(peer, "203.0.113.9") == peer.removeprefix("::ffff:")
