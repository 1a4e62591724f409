"""What is asked of a value before it is taken for what its type says. Each check is called for the unusual alone."""

import datetime as dt
import inspect
from collections.abc import Callable, Sequence
from decimal import Decimal
from enum import Enum
from typing import Any
from uuid import UUID

from graphql import GraphQLEnumType, GraphQLLeafType, GraphQLObjectType
from graphql.pyutils import Undefined
from graphql.pyutils.is_awaitable import is_awaitable
from strawberry.schema.schema_converter import CustomGraphQLEnumType
from strawberry.types.cast import TYPE_CAST_ATTRIBUTE

from api.graphql.compiled.guards import Guard, Guards, Surprise

INT_MIN, INT_MAX = -(2**31), 2**31 - 1

PLAIN: frozenset[type] = frozenset(
    {
        *(str, int, float, bool, Decimal, UUID, dict, list, tuple),
        *(dt.datetime, dt.date, dt.time, dt.timedelta),
    }
)
"""Classes of values that a custom scalar is coerced from at once: they are neither raised nor awaited."""

# Any: a resolver may return whatever it likes, and a scalar may be serialized to whatever it likes.
Coercion = Callable[[Any], Any]


def check_plain(value: object, guards: Guards) -> None:
    """Raises Surprise for a value that graphql-core would raise or await."""
    if isinstance(value, Exception) and Guard.EXCEPTION_VALUE in guards:
        raise Surprise("an exception as value")
    if is_awaitable(value) and Guard.AWAITABLE_VALUE in guards:
        if inspect.iscoroutine(value):
            # graphql-core will call the resolver again, and await what that returns.
            value.close()
        raise Surprise("an awaitable where none is expected")


def is_null(value: object, guards: Guards, *, refuses_null: bool) -> bool:
    """Whether a value is null to graphql-core. Raises Surprise where it must not be."""
    if value is not None and value is not Undefined:
        return False
    if refuses_null and Guard.NULL in guards:
        raise Surprise("null")
    return True


def leaf_coercion(kind: GraphQLLeafType, guards: Guards, *, refuses_null: bool) -> Coercion:
    """What makes a leaf of any value that compiled code does not know at sight. Raises Surprise, and what coercion raises."""
    coerce = kind.coerce_output_value

    def coerced(value: Any) -> Any:  # Any: as for Coercion
        if is_null(value, guards, refuses_null=refuses_null):
            return None
        check_plain(value, guards)
        leaf = coerce(value)
        if (leaf is None or leaf is Undefined) and Guard.LEAF_RESULT in guards:
            raise Surprise("a leaf that is coerced to null")
        return leaf

    return coerced


def object_check(kind: GraphQLObjectType, guards: Guards, *, refuses_null: bool) -> Callable[[object], bool]:
    """What tells whether a value of another class than expected has fields; False for null. Raises Surprise."""
    # Strawberry's own checks make no use of info, and others are not compiled.
    is_type_of: Callable[[object, None], object] | None = kind.is_type_of  # type: ignore[assignment]

    def has_fields(value: object) -> bool:
        if is_null(value, guards, refuses_null=refuses_null):
            return False
        check_plain(value, guards)
        if is_type_of is not None and Guard.OBJECT_TYPE in guards and is_type_of(value, None) is not True:
            raise Surprise("an object of another type")
        return True

    return has_fields


def list_check(guards: Guards, *, refuses_null: bool) -> Callable[[object], list[object] | None]:
    """What is called for whatever is no list or tuple; None for null. Raises Surprise."""

    def no_list(value: object) -> list[object] | None:
        if is_null(value, guards, refuses_null=refuses_null):
            return None
        check_plain(value, guards)
        if Guard.LIST_CLASS in guards:
            raise Surprise("no list")
        # Whether it can be iterated, it says itself.
        return list(value)  # type: ignore[call-overload, no-any-return]

    return no_list


def batch_check(guards: Guards) -> Callable[[list[object], Sequence[object]], object]:
    """What is asked of a resolver of many objects: a value for each. Raises Surprise."""

    def of_each(found: list[Any], objects: Sequence[object]) -> object:  # Any: a list, as was declared
        [values] = found
        if Guard.BATCH_SIZE in guards and (values.__class__ is not list or len(values) != len(objects)):
            raise Surprise("not a value for each object")
        return values

    return of_each


def enum_names(kind: GraphQLEnumType) -> "tuple[type, dict[object, str]] | None":
    """The class of an enum of Strawberry's and what each member is called; None for another kind of enum."""
    if type(kind) is not CustomGraphQLEnumType:
        return None
    members: type[Enum] = kind.wrapped_cls  # type: ignore[assignment]  # EnumMeta is the type of all enum classes
    return members, {member: kind.coerce_output_value(member) for member in members}


def is_cast(value: object) -> bool:
    """Whether somebody made the object of another type by `strawberry.cast`."""
    return getattr(value, TYPE_CAST_ATTRIBUTE, None) is not None
