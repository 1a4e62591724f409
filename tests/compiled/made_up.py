"""Values of any declared type, made up from a seed, some of them not what they are declared to be."""

import collections.abc
import dataclasses
import types
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from enum import Enum
from functools import cache
from random import Random
from typing import Any, NewType, TypeVar, Union, get_args, get_origin, get_type_hints
from uuid import UUID

from domain.currencies import Currency
from domain.payments.queries import Position

# Any: what is made up has whatever type is asked for.
_LISTS = (list, collections.abc.Sequence, collections.abc.Collection, tuple, frozenset, collections.abc.Iterable)
_ODD: tuple[Any, ...] = (None, object(), "?", 2**40, 1.5, True, [], ["?"], ValueError("held"), {"a": 1}, UUID(int=7))
_CURRENCIES = (Currency.USD, Currency.JPY, Currency.KWD)


class MadeUp:
    """Makes values up. `oddity` is the chance that a record holds something in one field that it should not."""

    def __init__(self, seed: str, oddity: float) -> None:
        self._random = Random(seed)  # noqa: S311  a seed makes it up again
        self._oddity = oddity

    def value(self, declared: Any, bound: Mapping[Any, Any] | None = None) -> Any:
        if isinstance(declared, TypeVar):
            declared = (bound or {}).get(declared, str)
        if isinstance(declared, NewType):
            declared = declared.__supertype__
        origin, arguments = get_origin(declared), get_args(declared)
        if origin in (Union, types.UnionType):
            return self._one_of(arguments)
        if origin in _LISTS:
            return self._many(origin, arguments, bound)
        if origin in (dict, collections.abc.Mapping):
            return {"key": self._random.choice(("a", 1, None, [True]))}
        if dataclasses.is_dataclass(origin or declared):
            return self._record(origin or declared, dict(zip(_parameters(origin), arguments, strict=True)))
        return self._plain(declared)

    def _one_of(self, arguments: tuple[Any, ...]) -> Any:
        if type(None) in arguments and self._random.random() < 0.3:
            return None
        return self.value(self._random.choice([each for each in arguments if each is not type(None)]))

    def _many(self, origin: Any, arguments: tuple[Any, ...], bound: Mapping[Any, Any] | None) -> Any:
        item = arguments[0] if arguments else str
        items = [self.value(item, bound) for _ in range(self._random.randint(0, 3))]
        return frozenset(items) if origin is frozenset else tuple(items) if origin is tuple else items

    def _plain(self, declared: Any) -> Any:
        random = self._random
        if declared is Currency:
            return random.choice(_CURRENCIES)
        if isinstance(declared, type) and issubclass(declared, Enum):
            return random.choice(list(declared))
        made: dict[Any, Any] = {
            int: random.randint(0, 3000),
            bool: random.random() < 0.5,
            UUID: UUID(int=random.randint(1, 6)),
            Decimal: Decimal(random.randint(0, 10_000)) / 100,
            float: random.random(),
            bytes: b"bytes",
            datetime: datetime(2026, 1, 1, tzinfo=UTC) + timedelta(microseconds=random.randint(0, 10**12)),
            timedelta: timedelta(seconds=random.randint(0, 1000)),
        }
        return made.get(declared, random.choice(("text", "", "Zoë")))

    def _record(self, kind: Any, bound: Mapping[Any, Any]) -> Any:
        """A record that has not passed through its own checks, because a database may hold anything."""
        made = object.__new__(kind)
        hints = _hints(kind)
        names = [each.name for each in dataclasses.fields(kind)]
        for name in names:
            object.__setattr__(made, name, self.value(hints[name], bound))
        if kind.__name__ == "Page":
            object.__setattr__(made, "positions", [self.value(Position) for _ in made.items])
        elif names and self._random.random() < self._oddity:
            odd = self._random.choice(names)
            if self._random.random() < 0.1:
                object.__delattr__(made, odd)
            else:
                object.__setattr__(made, odd, self._random.choice(_ODD))
        return made


def _parameters(origin: Any) -> tuple[Any, ...]:
    return getattr(origin, "__parameters__", ())


@cache
def _hints(kind: Any) -> dict[str, Any]:
    return get_type_hints(kind)
