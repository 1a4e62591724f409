"""What a client gets that says what it takes."""

import pytest

from api import negotiation
from api.negotiation import preferred

JSON, OTHER = "application/json", "application/graphql-response+json"


@pytest.mark.parametrize(
    ("accept", "chosen"),
    [
        (None, JSON),
        (" ", JSON),
        ("*/*", JSON),
        (OTHER, OTHER),
        (f"{JSON};q=0.1, {OTHER};q=0.2", OTHER),
        ("application/*;q=0.5, application/json;q=0", OTHER),
        ("text/html", None),
        (f"{JSON};q=0", None),
        (f"{JSON};q=much", None),
    ],
)
@pytest.mark.parametrize("padding", ["", ", image/avif" * 100], ids=["remembered", "too long to remember"])
def test_the_offer_that_is_wanted_most(accept: str | None, chosen: str | None, padding: str) -> None:
    """Twice: the second time, a short text is remembered."""
    if accept is not None and accept.strip():
        accept += padding
    assert preferred(accept, (JSON, OTHER)) == preferred(accept, (JSON, OTHER)) == chosen


def test_nobody_makes_the_server_remember_long_texts() -> None:
    before = negotiation._remembered.cache_info().currsize
    for number in range(3):
        preferred(f"{JSON}, text/{number}{', image/avif' * 100}", (JSON, OTHER))
    assert negotiation._remembered.cache_info().currsize == before


def test_what_is_remembered_is_told_apart_by_what_is_offered() -> None:
    assert preferred(OTHER, (JSON, OTHER)) == OTHER
    assert preferred(OTHER, (JSON,)) is None
