"""What text may come in: bounded, storable, and never a card number."""

import json
import re
from collections.abc import Iterator, Mapping
from typing import TypeAlias

from domain.errors import CardNumberRefused, InvalidIdempotencyKey, InvalidMetadata, InvalidText

JsonValue: TypeAlias = "str | int | float | bool | list[JsonValue] | dict[str, JsonValue] | None"

IDEMPOTENCY_KEY_LENGTH_MAX = 255
PROCESSOR_ID_LENGTH_MAX = 255
METADATA_BYTES_MAX = 8 * 1024
METADATA_DEPTH_MAX = 5
_INTEGER_MIN, _INTEGER_MAX = -(2**63), 2**63 - 1

# A card number as people write it: 13 to 19 digits on end with the first digits that networks of that length use, or in
# the groups that are embossed on cards. Dates and lists of years fit neither: no network's numbers begin with 20. Each
# looks ahead without moving on, so that a number is also found right behind another group of digits.
_CARD_LIKE = (
    re.compile(
        r"(?<!\d)(?=((?:4\d{12}|3\d{13,14}|(?:2[2-7]|[3-6]\d)\d{14}|[4-6]\d{16,18}"
        r"|(?:2[2-7]|[3-6]\d)\d{2}([ -])\d{4}\2\d{4}\2\d{1,7}|3\d{3}([ -])\d{6}\3\d{4,5})(?!\d)))",
        re.ASCII,
    ),
    re.compile(r"(?<!\d)(?=([4-6]\d{3}([ -])\d{4}\2\d{4}\2\d{4}\2\d{1,3}(?!\d)))", re.ASCII),
)
# Hashes and UUIDs hold long runs and groups of digits by chance: of random UUIDs, one in 5,000 looked like a card number.
_HEXADECIMAL_NAME = re.compile(
    r"(?<![0-9A-Za-z])(?:[0-9a-fA-F]{24,}|[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12})(?![0-9A-Za-z])",
    re.ASCII,
)
_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")


def looks_like_card_number(text: str) -> bool:
    """Whether the text holds digits with a card network's prefix, a card's length and a right check digit (ISO/IEC 7812-1)."""
    if len(text) < 13 or sum(map(str.isdigit, text)) < 13:
        return False
    searched = _HEXADECIMAL_NAME.sub(" ", text)
    return any(_luhn_valid(match[1]) for pattern in _CARD_LIKE for match in pattern.finditer(searched))


def check_text(text: str, *, path: tuple[str, ...], length_max: int) -> None:
    """Raise InvalidText or CardNumberRefused for a text that must not be stored."""
    if len(text) > length_max:
        raise InvalidText(f"The text holds {len(text)} characters; {length_max} is the most.", path=path)
    if _UNSTORABLE.search(text):
        raise InvalidText("The text holds a NUL or a lone surrogate, which cannot be stored.", path=path)
    if looks_like_card_number(text):
        raise CardNumberRefused(path=path)


def check_reason(reason: str, *, length_max: int) -> None:
    """Raise InvalidText or CardNumberRefused for what cannot stand in the audit log as the reason of an act."""
    path = ("input", "reason")
    if not reason.strip():
        raise InvalidText("Say why: whoever reads the audit log will ask.", path=path)
    check_text(reason, path=path, length_max=length_max)


def is_processor_id(text: str) -> bool:
    """Whether the text can be an id of the processor's: a plain name, because it becomes a part of the processor's URLs."""
    return len(text) <= PROCESSOR_ID_LENGTH_MAX and text.isascii() and text.replace("_", "").isalnum()


def check_idempotency_key(key: str) -> None:
    """Raise InvalidIdempotencyKey, InvalidText or CardNumberRefused for a key that cannot be used."""
    path = ("input", "idempotencyKey")
    if not 1 <= len(key) <= IDEMPOTENCY_KEY_LENGTH_MAX:
        raise InvalidIdempotencyKey(
            f"An idempotency key holds 1 to {IDEMPOTENCY_KEY_LENGTH_MAX} characters; this one holds {len(key)}.",
            path=path,
        )
    check_text(key, path=path, length_max=IDEMPOTENCY_KEY_LENGTH_MAX)


def check_metadata(metadata: object) -> Mapping[str, JsonValue]:
    """The metadata, if it is a JSON object of at most 8 KiB and 5 levels.

    Raises InvalidMetadata, and InvalidText or CardNumberRefused for a text in it, names included.
    """
    path = ("input", "metadata")
    if not isinstance(metadata, dict):
        raise InvalidMetadata("Metadata is a JSON object, not a list or a single value.", path=path)
    for value, depth in _names_and_leaves(metadata):
        if depth > METADATA_DEPTH_MAX:
            raise InvalidMetadata(f"Metadata is nested at most {METADATA_DEPTH_MAX} levels deep.", path=path)
        if isinstance(value, int | float) and not _INTEGER_MIN <= value <= _INTEGER_MAX:
            raise InvalidMetadata("A number in metadata is finite and fits in 64 bits.", path=path)
        check_text(str(value), path=path, length_max=METADATA_BYTES_MAX)
    if len(json.dumps(metadata, ensure_ascii=False).encode()) > METADATA_BYTES_MAX:
        raise InvalidMetadata(f"Metadata is at most {METADATA_BYTES_MAX} bytes as JSON.", path=path)
    return metadata


def _names_and_leaves(root: object) -> Iterator[tuple[object, int]]:
    """Every name and leaf below `root` with its depth, ending at the first container that is too deep.

    Iterative, so that deep nesting cannot overflow the stack.
    """
    waiting: list[tuple[object, int]] = [(root, 1)]
    while waiting:
        value, depth = waiting.pop()
        if not isinstance(value, dict | list):
            yield value, depth - 1
        elif depth > METADATA_DEPTH_MAX:
            yield None, depth
            return
        elif isinstance(value, dict):
            for name, child in value.items():
                yield name, depth
                waiting.append((child, depth + 1))
        else:
            waiting.extend((child, depth + 1) for child in value)


def _luhn_valid(text: str) -> bool:
    digits = [int(character) for character in text if character.isdigit()]
    if not 13 <= len(digits) <= 19:
        return False
    doubled = [digit * 2 - 9 if digit > 4 else digit * 2 for digit in digits[-2::-2]]
    return (sum(digits[-1::-2]) + sum(doubled)) % 10 == 0
