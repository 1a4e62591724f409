"""Completes many values at once: compiled levels are asynchronous from list to list, and these give each its shape back."""

from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from typing import Any, TypeAlias

from api.graphql.compiled.driving import together
from api.graphql.compiled.guards import Surprise

# Any: objects of the API's types come in, and what their scalars are serialized to goes out.
Level: TypeAlias = Callable[[Sequence[Any]], Awaitable[list[Any]]]
Completion: TypeAlias = Callable[[Any], object]
Member: TypeAlias = "tuple[Level | None, Completion | None]"


async def complete_ones(level: Level, values: Sequence[object], refuses_null: bool) -> list[object]:
    """Complete one object for each value, None for None. One that is there several times is completed once."""
    if refuses_null and any(value is None for value in values):
        raise Surprise("null")
    live = {id(value): value for value in values if value is not None}
    if not live:
        return [None] * len(values)
    completed = await level([*live.values()])
    if len(live) == len(values):
        return completed
    made = dict(zip(live, completed, strict=True))
    return [None if value is None else made[id(value)] for value in values]


async def complete_lists(
    level: Level, values: Sequence[object], refuses_null: bool, items_refuse_null: bool, any_class: bool
) -> list[object]:
    """Complete a list for each value, all their items together."""
    flat: list[object] = []
    ends: list[int | None] = []
    for value in values:
        if value.__class__ is list or value.__class__ is tuple or (any_class and value is not None):
            flat.extend(value)  # type: ignore[arg-type]  # a list or tuple, as was just seen
            ends.append(len(flat))
        elif value is None and not refuses_null:
            ends.append(None)
        else:
            raise Surprise("no list")
    completed = await complete_ones(level, flat, items_refuse_null)
    shaped: list[object] = []
    begin = 0
    for end in ends:
        if end is None:
            shaped.append(None)
        else:
            shaped.append(completed[begin:end])
            begin = end
    return shaped


async def complete_by_class(
    values: Sequence[object], kind_of: Callable[[Any], type], members: Mapping[type, Member]
) -> list[object]:
    """Complete objects behind an interface or union, those of each type together."""
    groups: dict[type, list[int]] = {}
    for index, value in enumerate(values):
        groups.setdefault(kind_of(value), []).append(index)
    completed: list[object] = [None] * len(values)

    async def fill(level: Level, indexes: list[int]) -> None:
        for index, each in zip(indexes, await level([values[index] for index in indexes]), strict=True):
            completed[index] = each

    waiting: list[Coroutine[object, None, None]] = []
    for kind, indexes in groups.items():
        level, complete = members[kind]
        if complete is not None:
            for index in indexes:
                completed[index] = complete(values[index])
        elif level is not None:
            waiting.append(fill(level, indexes))
    if len(waiting) == 1:
        await waiting[0]
    elif waiting:
        await together(*waiting)
    return completed
