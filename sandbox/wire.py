"""JSON as it goes over the wire."""

from typing import Any, TypeAlias

import orjson

# Any: Stripe's objects are open JSON; the tests hold them against the published shapes, the type checker cannot.
Json: TypeAlias = dict[str, Any]


def dump(document: Json) -> bytes:
    """Indented by two spaces, as Stripe prints its answers and webhook bodies."""
    return orjson.dumps(document, option=orjson.OPT_INDENT_2)


def dump_compact(document: Json) -> str:
    return orjson.dumps(document).decode()


def dump_canonical(document: Json) -> bytes:
    """Keys in order, so that equal documents have equal bytes."""
    return orjson.dumps(document, option=orjson.OPT_SORT_KEYS)


def load(text: str | bytes) -> Json:
    """Read what one of the functions above wrote."""
    document = orjson.loads(text)
    if not isinstance(document, dict):
        raise TypeError("a stored document is always an object")
    return document
