"""Reading JSON whose shape another party decides: every access says what it expects, and fails in one way."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import TypeAlias

Json: TypeAlias = Mapping[str, object]


class OddShape(ValueError):
    """A message lacks something that Stripe's API reference says it has, or holds it in another type."""


def text(source: Json, name: str) -> str:
    """A field that must be a text and not empty. Raises OddShape."""
    value = source.get(name)
    if not isinstance(value, str) or not value:
        raise OddShape(f"{name} is no text")
    return value


def maybe_text(source: Json, name: str) -> str | None:
    """A field that may be missing or null; anything but a text counts as that."""
    value = source.get(name)
    return value if isinstance(value, str) and value else None


def whole(source: Json, name: str) -> int:
    """A field that must be a whole number of at least zero. Raises OddShape."""
    value = maybe_whole(source, name)
    if value is None:
        raise OddShape(f"{name} is no whole number")
    return value


def maybe_whole(source: Json, name: str) -> int | None:
    """A field that may be missing or null; anything but a whole number of at least zero counts as that."""
    value = maybe_signed(source, name)
    return value if value is not None and value >= 0 else None


def signed(source: Json, name: str) -> int:
    """A field that must be a whole number, negative or not. Raises OddShape."""
    value = maybe_signed(source, name)
    if value is None:
        raise OddShape(f"{name} is no whole number")
    return value


def maybe_signed(source: Json, name: str) -> int | None:
    """A field that may be missing or null; anything but a whole number, negative or not, counts as that."""
    value = source.get(name)
    # To Python, True is a whole number; to JSON it is not.
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def truth(source: Json, name: str) -> bool:
    """A field that must be true or false. Raises OddShape."""
    value = source.get(name)
    if not isinstance(value, bool):
        raise OddShape(f"{name} is neither true nor false")
    return value


def mapping(value: object, name: str) -> Json:
    """The value, if it is a JSON object. Raises OddShape."""
    if not isinstance(value, dict):
        raise OddShape(f"{name} is no object")
    return value


def maybe_mapping(source: Json, name: str) -> Json | None:
    """A field that may be missing, null, or an id that was not expanded into its object: all three count as None."""
    value = source.get(name)
    return value if isinstance(value, dict) else None


def maybe_reference(source: Json, name: str) -> str | None:
    """The id of another object, whether Stripe sent the id or the expanded object; None where there is neither."""
    expanded = maybe_mapping(source, name)
    return maybe_text(source, name) if expanded is None else maybe_text(expanded, "id")


def moment(source: Json, name: str) -> datetime:
    """A field that must be a point in time, in seconds since 1970. Raises OddShape."""
    try:
        return datetime.fromtimestamp(whole(source, name), UTC)
    except (ValueError, OverflowError, OSError):
        raise OddShape(f"{name} is no point in time") from None


def listed(page: Json) -> list[Json]:
    """The objects of one page of a list. Raises OddShape."""
    data = page.get("data")
    if not isinstance(data, list):
        raise OddShape("data is no list")
    return [mapping(item, "an item of data") for item in data]
