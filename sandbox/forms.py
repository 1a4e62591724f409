"""Form-encoded bodies and query strings: bracketed names become nested values.

`metadata[a]=b` is a hash, `expand[]=x&expand[]=y` and `expand[0]=x&expand[1]=y` are lists. What a list or a hash means
is for the endpoint's parameters to say; here a numbered list is still a hash with digits for keys.
"""

import re
from typing import TypeAlias
from urllib.parse import parse_qsl

from sandbox.errors import ApiError, invalid

Raw: TypeAlias = "str | list[Raw] | dict[str, Raw]"
RawHash: TypeAlias = "dict[str, Raw]"

_NAME = re.compile(r"([^\[\]]+)((?:\[[^\[\]]*\])*)")
_SEGMENT = re.compile(r"\[([^\[\]]*)\]")

# Bounds on what one request may make us build; Stripe's own are not published.
_FIELDS_MAX = 1_000
_DEPTH_MAX = 8


def decode_form(encoded: bytes) -> RawHash:
    """Raises ApiError 400 for bad UTF-8, too many fields, and names that contradict each other."""
    try:
        pairs = parse_qsl(encoded.decode("utf-8"), keep_blank_values=True, errors="strict", max_num_fields=_FIELDS_MAX)
    except UnicodeDecodeError:
        raise invalid("Invalid UTF-8 in the request's parameters.") from None
    except ValueError:
        raise invalid(f"Too many parameters: at most {_FIELDS_MAX} are taken.") from None
    root: RawHash = {}
    for name, value in pairs:
        _place(root, name, value)
    return root


def _place(root: RawHash, name: str, value: str) -> None:
    match = _NAME.fullmatch(name)
    if match is None:
        raise invalid(f"Invalid parameter name: {name}", param=name)
    segments = [match[1], *_SEGMENT.findall(match[2])]
    if len(segments) > _DEPTH_MAX:
        raise invalid(f"Parameter nested too deeply: {name}", param=name)
    if "" in segments[:-1]:
        raise invalid(f"Lists of hashes must be numbered: {name}", param=name)
    node = root
    for position, segment in enumerate(segments[:-1]):
        if segments[position + 1] == "":
            _append(node, segment, name, value)
            return
        child = node.setdefault(segment, {})
        if not isinstance(child, dict):
            raise _contradiction(name)
        node = child
    if isinstance(node.get(segments[-1], ""), str):
        node[segments[-1]] = value
    else:
        raise _contradiction(name)


def _append(node: RawHash, segment: str, name: str, value: str) -> None:
    items = node.setdefault(segment, [])
    if not isinstance(items, list):
        raise _contradiction(name)
    items.append(value)


def _contradiction(name: str) -> ApiError:
    return invalid(f"Conflicting values were given for the parameter {name}", param=name)
