"""Fields that are null for some: a condition on the request alone, which compiled code evaluates once."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, TypeAlias, TypeVar

from graphql import GraphQLResolveInfo

C = TypeVar("C")

# Any: a resolver takes whatever arguments its field has, and answers with whatever the field holds.
Resolver: TypeAlias = Callable[..., Any]

_GATE = "__compiled_gate__"


@dataclass(frozen=True, slots=True)
class Gate(Generic[C]):
    """A resolver that only runs where `allows` says so of the request's context."""

    resolve: Resolver
    allows: Callable[[C], bool]


def gated(resolve: Resolver, allows: Callable[[C], bool]) -> Resolver:
    """A resolver that answers null unless `allows` is true of the request's context.

    The field should be nullable; one that is not is left to graphql-core, for which a closed gate is an error then.
    Compiled code asks `allows` once for all objects of a request, so it may depend on nothing else; what it raises becomes the
    field's error.
    """

    def resolver(source: object, info: GraphQLResolveInfo[C], **arguments: object) -> object:
        return resolve(source, info, **arguments) if allows(info.context) else None

    setattr(resolver, _GATE, Gate(resolve, allows))
    return resolver


def gate_of(resolver: Resolver) -> "Gate[Any] | None":  # Any: whatever context the gate was made for
    found = getattr(resolver, _GATE, None)
    return found if isinstance(found, Gate) else None
