"""What one actor or address may ask for in a minute, and how much of the server's work: counted before anything is done."""

import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from api.answer import HeaderFields
from domain.access import Actor
from domain.errors import CostExceeded, Throttled
from domain.limits import CostBuckets, Limit, RateLimits, Taken

_FOUND_MAX: Final = 4096
_FORWARDED_LENGTH_KEPT: Final = 256


@dataclass(frozen=True, slots=True, kw_only=True)
class Throttle:
    """The limits that every request meets. `operation_cost_max` is the most that one operation may cost, in units."""

    limits: RateLimits
    buckets: CostBuckets
    by_address: Limit
    by_actor: Limit
    money_by_actor: Limit
    operation_cost_max: int

    async def request(self, address: str) -> Taken:
        """Count a request before anything is known of it but where it comes from. Raises RateLimited."""
        return await self.limits.require(self.by_address, address)

    async def actor(self, actor: Actor) -> Taken:
        """Count a request of somebody: all their tokens and keys together. Raises RateLimited."""
        return await self.limits.require(self.by_actor, str(actor.user_id))

    async def money(self, actor: Actor, mutations: int) -> None:
        """Count mutations with an idempotency key. Raises RateLimited, and none of them is done then."""
        await self.limits.require(self.money_by_actor, str(actor.user_id), mutations)

    async def spend(self, key: str, cost: int) -> float:
        """Take the cost of an operation that is about to run; the value is what is left. Raises Throttled."""
        left = await self.buckets.pour(key, cost)
        if left < 0:
            raise self._throttled(left)
        return left

    async def spent(self, key: str, cost: int) -> float:
        """Take the cost of work that is done already, or give back (a negative cost) what was taken too much."""
        return await self.buckets.pour(key, cost, anyway=True)

    async def require_some(self, key: str) -> None:
        """Raises Throttled where nothing at all is left."""
        left = await self.buckets.pour(key, 0, anyway=True)
        if left < 0:
            raise self._throttled(left)

    def _throttled(self, left: float) -> Throttled:
        wait = int(-left * 1000 / self.buckets.leaks_per_second) + 1
        return Throttled(
            f"Your operations cost more than {self.buckets.leaks_per_second} units a second. Wait before you try again.",
            retry_after_ms=wait,
        )


def rate_limit_headers(taken: Taken) -> HeaderFields:
    """RateLimit and RateLimit-Policy (draft-ietf-httpapi-ratelimit-headers-10): the amount, its window, and what is left."""
    limit = taken.limit
    left = f'"{limit.name}";r={taken.remaining};t={int(taken.resets_in_seconds) + 1}'
    return [
        (b"ratelimit-policy", f'"{limit.name}";q={limit.amount};w={limit.seconds}'.encode()),
        (b"ratelimit", left.encode()),
    ]


class Addresses:
    """Finds out where a request comes from.

    That is the peer's address, unless the peer is one of our own proxies: then the last address in X-Forwarded-For that is not
    one of them. What stands further left in that header was written by whoever sent the request.
    """

    def __init__(self, trusted_proxies: Sequence[str]) -> None:
        # Most requests come over connections that have brought some before.
        self._found: dict[tuple[str, str], str] = {}
        self._trusted = [ipaddress.ip_network(network, strict=False) for network in trusted_proxies]

    def of(self, peer: str, forwarded: str) -> str:
        """The address that limits count by: for IPv6 the first 64 bits, which is what one customer is given.

        `forwarded` is the header X-Forwarded-For, empty where there is none.
        """
        key = (peer, forwarded) if self._trusted else (peer, "")
        found = self._found.get(key)
        if found is None:
            found = self._find(*key)
            if len(self._found) >= _FOUND_MAX:
                self._found.clear()
            if len(forwarded) <= _FORWARDED_LENGTH_KEPT:
                self._found[key] = found
        return found

    def _find(self, peer: str, forwarded: str) -> str:
        found = peer
        if self._trusted:
            hops = [hop.strip() for hop in forwarded.split(",")] if forwarded else []
            while self._is_trusted(found) and hops:
                found = hops.pop()
        address = _address(found)
        if address is None:
            # A name is taken as it is; an address that cannot be read, such as one with a port, was not written by its owner.
            return peer if ":" in found else found
        if isinstance(address, ipaddress.IPv6Address):
            return str(ipaddress.IPv6Network((int(address), 64), strict=False))
        return str(address)

    def _is_trusted(self, text: str) -> bool:
        address = _address(text)
        return address is not None and any(address in network for network in self._trusted)


def _address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """The address; None where the text is none. ::ffff:a.b.c.d is a.b.c.d (RFC 4291, section 2.5.5.2)."""
    try:
        address = ipaddress.ip_address(text.strip("[]"))
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return mapped or address


def too_costly(cost: int, cost_max: int) -> CostExceeded:
    """What is said of an operation that costs more than it may."""
    return CostExceeded(f"The operation may cost {cost} units; {cost_max} is the most. Ask for smaller pages.")
