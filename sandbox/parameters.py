"""What an endpoint takes: names, types and limits, and Stripe's refusal for everything else.

`parse` turns the decoded form into values. An absent parameter stays absent; one that was sent empty to unset it
becomes None.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol
from urllib.parse import urlsplit

from sandbox.errors import ApiError, invalid, missing
from sandbox.forms import Raw, RawHash
from sandbox.wire import Json

_INTEGER = re.compile(r"-?[0-9]{1,18}")
_NUMBER = re.compile(r"[0-9]{1,12}(\.[0-9]{1,12})?")
_EMAIL = re.compile(r"[^@\s]+@[^@\s]+")
# A browser would run these instead of going to them.
_SCRIPT_SCHEMES = frozenset({"javascript", "data", "vbscript"})

METADATA_KEYS_MAX = 50
_METADATA_KEY_LENGTH_MAX = 40
_METADATA_VALUE_LENGTH_MAX = 500


class Parameter(Protocol):
    def parse(self, name: str, raw: Raw) -> object:
        """The value, or None where an empty one unsets. Raises ApiError 400."""


def _text(name: str, raw: Raw) -> str:
    if not isinstance(raw, str):
        raise invalid(f"Invalid string: {raw}", param=name)
    if "\x00" in raw:
        raise invalid(f"Invalid string: {name} contains a NUL character", param=name, code="invalid_characters")
    return raw


def _empty(name: str) -> ApiError:
    return invalid(
        f"You passed an empty string for '{name}'. We assume empty values are an attempt to unset a parameter; "
        f"however '{name}' cannot be unset. You should remove '{name}' from your request or supply a non-empty value.",
        param=name,
        code="parameter_invalid_empty",
    )


@dataclass(frozen=True, slots=True)
class Text:
    length_max: int = 5_000
    unset: bool = False

    def parse(self, name: str, raw: Raw) -> str | None:
        text = _text(name, raw)
        if text == "":
            if self.unset:
                return None
            raise _empty(name)
        if len(text) > self.length_max:
            raise invalid(
                f"Invalid string: {text[:10]}...{text[-10:]}; must be at most {self.length_max} characters", param=name
            )
        return text


@dataclass(frozen=True, slots=True)
class Choice:
    among: tuple[str, ...]
    unset: bool = False

    def parse(self, name: str, raw: Raw) -> str | None:
        text = _text(name, raw)
        if text == "" and self.unset:
            return None
        if text not in self.among:
            choices = " or ".join(filter(None, (", ".join(self.among[:-1]), self.among[-1])))
            raise invalid(f"Invalid {name}: must be one of {choices}", param=name)
        return text


@dataclass(frozen=True, slots=True)
class Integer:
    minimum: int = 0
    maximum: int = 10**18

    def parse(self, name: str, raw: Raw) -> int:
        text = _text(name, raw)
        if text == "":
            raise _empty(name)
        if not _INTEGER.fullmatch(text):
            raise invalid(f"Invalid integer: {text[:50]}", param=name, code="parameter_invalid_integer")
        number = int(text)
        if number < self.minimum:
            raise self._out_of_range("greater", self.minimum, name)
        if number > self.maximum:
            raise self._out_of_range("less", self.maximum, name)
        return number

    @staticmethod
    def _out_of_range(word: str, limit: int, name: str) -> ApiError:
        return invalid(
            f"This value must be {word} than or equal to {limit}.", param=name, code="parameter_invalid_integer"
        )


@dataclass(frozen=True, slots=True)
class Number:
    """A decimal number: the controls' seconds and probabilities. Stripe's own API takes none."""

    minimum: float
    maximum: float

    def parse(self, name: str, raw: Raw) -> float:
        text = _text(name, raw)
        if not _NUMBER.fullmatch(text) or not self.minimum <= float(text) <= self.maximum:
            raise invalid(f"Invalid {name}: must be a number from {self.minimum:g} to {self.maximum:g}", param=name)
        return float(text)


@dataclass(frozen=True, slots=True)
class Flag:
    def parse(self, name: str, raw: Raw) -> bool:
        text = _text(name, raw)
        if text not in {"true", "false"}:
            raise invalid(f"Invalid boolean: {text[:50]}", param=name)
        return text == "true"


@dataclass(frozen=True, slots=True)
class Email:
    unset: bool = False

    def parse(self, name: str, raw: Raw) -> str | None:
        text = Text(length_max=800, unset=self.unset).parse(name, raw)
        if text is not None and not _EMAIL.fullmatch(text):
            raise invalid(f"Invalid email address: {text}", param=name, code="email_invalid")
        return text


@dataclass(frozen=True, slots=True)
class Url:
    """Absolute: http, https, or the scheme of a mobile application."""

    web_only: bool = False

    def parse(self, name: str, raw: Raw) -> str:
        text = Text().parse(name, raw) or ""
        try:
            parts = urlsplit(text)
            web = parts.scheme in {"http", "https"} and bool(parts.hostname)
        except ValueError:
            raise invalid("Not a valid URL", param=name, code="url_invalid") from None
        application = parts.scheme not in {"", "http", "https"} | _SCRIPT_SCHEMES and not self.web_only
        printable = text.isprintable() and " " not in text
        if not printable or not (web or application):
            raise invalid("Not a valid URL", param=name, code="url_invalid")
        return text


@dataclass(frozen=True, slots=True)
class Fields:
    """A hash with known names: an endpoint's whole request, or one nested in it."""

    known: Mapping[str, Parameter] = field(default_factory=dict)
    required: tuple[str, ...] = ()
    unset: bool = False

    def parse(self, name: str, raw: Raw) -> Json | None:
        if raw == "" and self.unset:
            return None
        if not isinstance(raw, dict):
            raise invalid("Invalid object", param=name)
        return self.parse_hash(raw, name)

    def parse_hash(self, raw: RawHash, inside: str = "") -> Json:
        def full(key: str) -> str:
            return f"{inside}[{key}]" if inside else key

        unknown = [full(key) for key in raw if key not in self.known]
        if unknown:
            raise invalid(
                f"Received unknown parameter{'s' if len(unknown) > 1 else ''}: {', '.join(unknown)}",
                param=unknown[0],
                code="parameter_unknown",
            )
        for key in self.required:
            if key not in raw:
                raise missing(full(key))
        return {key: self.known[key].parse(full(key), value) for key, value in raw.items()}


@dataclass(frozen=True, slots=True)
class ListOf:
    item: Parameter
    unset: bool = False

    def parse(self, name: str, raw: Raw) -> list[object] | None:
        if raw == "" and self.unset:
            return None
        if isinstance(raw, dict) and all(key.isdecimal() and len(key) <= 4 for key in raw):
            raw = [raw[key] for key in sorted(raw, key=int)]
        if not isinstance(raw, list):
            raise invalid("Invalid array", param=name)
        return [self.item.parse(f"{name}[{index}]", item) for index, item in enumerate(raw)]


@dataclass(frozen=True, slots=True)
class Metadata:
    """Keys to set, and keys with None to remove; None alone removes all. https://docs.stripe.com/api/metadata"""

    def parse(self, name: str, raw: Raw) -> dict[str, str | None] | None:
        if raw == "":
            return None
        if not isinstance(raw, dict):
            raise invalid("Invalid object", param=name)
        parsed: dict[str, str | None] = {}
        for key, value in raw.items():
            text = _text(f"{name}[{key}]", value)
            if len(key) > _METADATA_KEY_LENGTH_MAX:
                raise invalid(
                    f"Metadata keys can have up to {_METADATA_KEY_LENGTH_MAX} characters, but you passed in a key that "
                    f"is {len(key)} characters. Invalid key: {key}",
                    param=name,
                )
            if len(text) > _METADATA_VALUE_LENGTH_MAX:
                raise invalid(
                    f"Metadata values can have up to {_METADATA_VALUE_LENGTH_MAX} characters, but you passed in a "
                    f"value that is {len(text)} characters. Invalid value: {text}",
                    param=f"{name}[{key}]",
                )
            parsed[key] = text or None
        if sum(value is not None for value in parsed.values()) > METADATA_KEYS_MAX:
            raise too_much_metadata(name)
        return parsed


def too_much_metadata(name: str = "metadata") -> ApiError:
    return invalid(f"Metadata can have up to {METADATA_KEYS_MAX} keys.", param=name)


@dataclass(frozen=True, slots=True)
class CreatedFilter:
    """One timestamp, or bounds: {gt, gte, lt, lte}. Parsed to inclusive bounds `{from, to}`."""

    def parse(self, name: str, raw: Raw) -> dict[str, int]:
        if isinstance(raw, str):
            exact = Integer().parse(name, raw)
            return {"from": exact, "to": exact}
        bounds = Fields({key: Integer() for key in ("gt", "gte", "lt", "lte")}).parse(name, raw) or {}
        span: dict[str, int] = {}
        if "gt" in bounds or "gte" in bounds:
            span["from"] = max(bounds.get("gt", -2) + 1, bounds.get("gte", 0))
        if "lt" in bounds or "lte" in bounds:
            span["to"] = min(bounds.get("lt", 10**19) - 1, bounds.get("lte", 10**18))
        return span


@dataclass(frozen=True, slots=True)
class Unsupported:
    """A parameter that Stripe takes and the sandbox does not: refused, because to ignore it would be a lie."""

    def parse(self, name: str, raw: Raw) -> object:  # noqa: ARG002 - the value does not matter, the name is refused
        raise invalid(f"The sandbox does not implement the parameter {name}.", param=name, code="parameter_unknown")


@dataclass(frozen=True, slots=True)
class Ignored:
    """A parameter that changes nothing an API client can see (hints for fraud scoring and the like)."""

    def parse(self, name: str, raw: Raw) -> object:  # noqa: ARG002 - any value is taken
        return raw
