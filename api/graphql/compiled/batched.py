"""Fields that are resolved for many objects at once."""

import inspect
from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import Any, Concatenate, ParamSpec, TypeAlias, TypeVar, get_args, get_origin

import strawberry

P = ParamSpec("P")
S = TypeVar("S")
V = TypeVar("V")

# Any: what a coroutine is sent and yields is the event loop's.
BatchResolver: TypeAlias = Callable[Concatenate[Sequence[S], P], Coroutine[Any, Any, Sequence[V]]]

_MANY = "__compiled_batch__"


def batched(
    *,
    description: str,
    metadata: Mapping[Any, Any] | None = None,  # Any: as Strawberry declares a field's metadata
) -> Callable[[BatchResolver[S, P, V]], Any]:  # Any: as Strawberry declares what `strawberry.field` makes
    """A field whose resolver is a static method that takes several objects, and returns a list of one value for each.

    Compiled code calls it once for all objects of a level; graphql-core for each by itself. So a value may depend on its own
    object and the arguments alone, and the resolver should load all that it needs before it waits.
    Raises TypeError for a resolver that is no coroutine function, or is not annotated as one that returns a list or Sequence.
    """

    def declare(many: BatchResolver[S, P, V]) -> Any:  # Any: as above
        return strawberry.field(resolver=_for_one(many), description=description, metadata=metadata)

    return declare


def batch_of(function: object) -> Callable[..., object] | None:
    """The resolver for many objects behind one for a single object, where it was declared so."""
    found = getattr(function, _MANY, None)
    return found if callable(found) else None


def _for_one(many: BatchResolver[S, P, V]) -> Callable[..., object]:
    """The resolver as Strawberry knows resolvers: of one object, which is called self."""
    if isinstance(many, staticmethod):
        many = many.__func__
    signature = inspect.signature(many)
    first, *others = signature.parameters.values()
    returned = signature.return_annotation
    if not inspect.iscoroutinefunction(many) or get_origin(returned) not in {list, Sequence}:
        raise TypeError("a batched resolver is a coroutine function that returns a list or Sequence")

    async def one(self: S, *arguments: P.args, **keywords: P.kwargs) -> V:
        [value] = await many([self], *arguments, **keywords)
        return value

    one.__name__, one.__qualname__, one.__module__ = many.__name__, many.__qualname__, many.__module__
    source = inspect.Parameter("self", first.kind)
    shown = signature.replace(parameters=[source, *others], return_annotation=get_args(returned)[0])
    one.__signature__ = shown  # type: ignore[attr-defined]  # where inspect looks for it
    setattr(one, _MANY, many)
    return one
