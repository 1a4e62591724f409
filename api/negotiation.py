"""Content negotiation by the Accept header (RFC 9110, section 12.5.1)."""

from collections.abc import Sequence
from functools import lru_cache
from typing import Final

# A client sends the same text each time; browsers' texts are about half as long.
_REMEMBERED_LENGTH_MAX: Final = 256
_REMEMBERED_MAX: Final = 256


def preferred(accept: str | None, offers: tuple[str, ...]) -> str | None:
    """The offer that the client wants most; of equals the one that is offered first. None where it takes none of them."""
    if accept is None or not accept.strip():
        return offers[0]
    return (_remembered if len(accept) <= _REMEMBERED_LENGTH_MAX else _preferred)(accept, offers)


def _preferred(accept: str, offers: tuple[str, ...]) -> str | None:
    ranges = [_media_range(element) for element in accept.split(",")]
    weights = {offer: _weight(offer, ranges) for offer in offers}
    best = max(weights.values())
    return next(offer for offer in offers if weights[offer] == best) if best > 0 else None


_remembered = lru_cache(_REMEMBERED_MAX)(_preferred)


def _media_range(element: str) -> tuple[str, float]:
    media_range, *parameters = (part.strip().lower() for part in element.split(";"))
    weight = 1.0
    for parameter in parameters:
        name, _, value = parameter.partition("=")
        if name.strip() == "q":
            try:
                weight = min(max(float(value), 0.0), 1.0)
            except ValueError:
                weight = 0.0
    return media_range, weight


def _weight(offer: str, ranges: Sequence[tuple[str, float]]) -> float:
    """The weight of the most specific range that the offer is in."""
    for candidate in (offer, f"{offer.partition('/')[0]}/*", "*/*"):
        matching = [weight for media_range, weight in ranges if media_range == candidate]
        if matching:
            return max(matching)
    return 0.0
