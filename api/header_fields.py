"""A request's header fields as a mapping, made in one pass."""

from collections.abc import Mapping, MutableMapping
from typing import Any


def header_fields(scope: Mapping[str, Any]) -> Mapping[str, str]:  # Any: an ASGI scope holds values of many types
    """By lower-case name. A field that came more than once is joined with commas (RFC 9110, section 5.2)."""
    found: MutableMapping[str, str] = {}
    for name, value in scope["headers"]:
        key, text = name.decode("latin-1"), value.decode("latin-1")
        before = found.get(key)
        found[key] = text if before is None else f"{before}, {text}"
    return found
