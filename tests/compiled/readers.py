"""Readers in memory that hold whatever they are asked for, made up from a seed, and sometimes fail."""

import asyncio
from collections.abc import Sequence
from dataclasses import fields
from datetime import UTC, datetime
from random import Random
from types import SimpleNamespace
from typing import Any, cast, get_args, get_origin, get_type_hints

from api.graphql.context import Acts, Context
from api.graphql.readers import Readers
from domain.access import Actor
from domain.errors import Forbidden, Unavailable
from domain.ids import SessionId
from domain.payments.refund_policy import RefundPolicy
from tests.compiled.made_up import MadeUp

_HINTS = {each.name: get_type_hints(Readers)[each.name] for each in fields(Readers)}
_RETURNS: dict[tuple[str, str], Any] = {}


class MadeUpReader:
    """One of the readers. What it says of a key depends on the seed and the key alone, whatever else is asked for with it."""

    def __init__(self, port: str, seed: int, oddity: float) -> None:
        self._port = port
        self._seed = seed
        self._oddity = oddity

    def __getattr__(self, name: str) -> Any:  # Any: a method of a port that is found by its name
        return lambda *arguments, **_: self._read(name, arguments)

    async def _read(self, name: str, arguments: tuple[Any, ...]) -> Any:
        seed = f"{self._seed}/{self._port}/{name}"
        random = Random(seed)  # noqa: S311  a seed makes it up again
        if random.random() < 0.5:
            await asyncio.sleep(0)
        if random.random() < self._oddity / 4:
            raise random.choice((Unavailable, Forbidden, RuntimeError))("made up")
        declared = _returned(self._port, name)
        if get_origin(declared) is dict:
            _, kind = get_args(declared)
            keys: Sequence[Any] = arguments[0]
            made = {key: MadeUp(f"{seed}/{key}", self._oddity) for key in keys}
            # What belongs to something is told of each; something itself may not be there.
            found = {key: each.value(kind) for key, each in made.items()}
            return found if "_of" in name else {key: value for key, value in found.items() if key.int != 5}
        return MadeUp(seed, self._oddity).value(declared)


def _returned(port: str, name: str) -> Any:  # Any: a type
    known = _RETURNS.get((port, name))
    if known is None:
        known = _RETURNS[port, name] = get_type_hints(getattr(_HINTS[port], name))["return"]
    return known


def made_up_context(seed: int, oddity: float, actor: Actor | None) -> Context:
    """A request of somebody's, over made-up readers. No act of it can be called."""
    acts = SimpleNamespace(
        refund_payment=SimpleNamespace(policy=RefundPolicy()),
        people=SimpleNamespace(clock=SimpleNamespace(now=lambda: datetime(2026, 1, 1, tzinfo=UTC))),
    )
    readers = {name: MadeUpReader(name, seed, oddity) for name in _HINTS}
    return Context(
        request_id="r",
        acts=cast("Acts", acts),  # only what resolvers of fields look at
        readers=Readers(**cast("Any", readers)),  # each answers to the names of its port
        actor=actor,
        session_id=None if actor is None else SessionId(actor.user_id),
    )
