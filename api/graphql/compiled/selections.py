"""What an operation selects, typed: the tree that code is written for."""

from dataclasses import dataclass
from typing import Any, TypeAlias

from graphql import (
    GraphQLAbstractType,
    GraphQLField,
    GraphQLObjectType,
    GraphQLOutputType,
    get_named_type,
    is_abstract_type,
    is_leaf_type,
)
from graphql.execution import Executor
from graphql.execution.collect_fields import FieldDetails, collect_subfields
from strawberry.schema.schema_converter import GraphQLCoreConverter
from strawberry.types.base import StrawberryObjectDefinition

from api.graphql.compiled.calls import BACKREF, Call
from api.graphql.compiled.guards import Guard, Guards, Unsupported

FIELDS_MAX = 400
"""Compiling takes up to 100 µs for each field, during which the server does nothing else."""

_MODULE = GraphQLCoreConverter.__module__
_OF_STRAWBERRY = "GraphQLCoreConverter."
_HARMLESS = frozenset({"skip", "include"})


@dataclass(frozen=True, slots=True, kw_only=True)
class FieldSelection:
    """A field of an object; `call` is None for __typename, `child` for a leaf."""

    key: str
    type: GraphQLOutputType
    call: Call | None
    child: "Child | None"

    @property
    def is_async(self) -> bool:
        """Whether the field, or something inside of it, has to be waited for."""
        return self.call is not None and (self.call.is_async or (self.child is not None and self.child.is_async))


@dataclass(frozen=True, slots=True, kw_only=True)
class ObjectSelection:
    """The fields selected of an object type, whose objects are mostly of class `origin`."""

    kind: GraphQLObjectType
    origin: type
    fields: list[FieldSelection]
    is_async: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class AbstractSelection:
    """What is selected of each type behind an interface or union."""

    kind: GraphQLAbstractType
    members: list[ObjectSelection]
    is_async: bool


Child: TypeAlias = ObjectSelection | AbstractSelection


class Selector:
    """Reads what an operation selects, exactly as graphql-core collects it. Raises Unsupported."""

    # Any: graphql-core's own context, which means nothing here.
    def __init__(self, executor: Executor[Any], guards: Guards) -> None:
        self._executor = executor
        self._guards = guards
        strawberry_schema = getattr(executor.schema, "_strawberry_schema", None)
        if strawberry_schema is None:
            raise Unsupported("a schema that is not Strawberry's")
        self._converter: GraphQLCoreConverter = strawberry_schema.schema_converter
        self.fields = 0

    def root(self, declared: GraphQLOutputType, details: list[FieldDetails]) -> Child | None:
        """What is selected of a root field's type; None where it is a leaf."""
        self._check_details(details)
        return self.child(declared, details)

    def child(self, declared: GraphQLOutputType, details: list[FieldDetails]) -> Child | None:
        """What is selected of a field's type; None where it is a leaf."""
        kind = get_named_type(declared)
        if is_leaf_type(kind):
            return None
        if isinstance(kind, GraphQLObjectType):
            return self._object(kind, details)
        if is_abstract_type(kind):
            return self._abstract(kind, details)
        raise Unsupported("a type of another kind")

    def _abstract(self, kind: GraphQLAbstractType, details: list[FieldDetails]) -> AbstractSelection:
        resolver = kind.resolve_type
        names = ("GraphQLCoreConverter.from_interface.", "StrawberryUnion.get_type_resolver.")
        if Guard.FOREIGN_TYPE_CHECK in self._guards and not (
            resolver is not None and resolver.__qualname__.startswith(names)
        ):
            raise Unsupported("a type resolver of its own")
        members = [
            self._object(each, details)
            for each in self._executor.schema.get_possible_types(kind)
            if _is_found_by_class(each)
        ]
        return AbstractSelection(kind=kind, members=members, is_async=any(each.is_async for each in members))

    def _object(self, kind: GraphQLObjectType, details: list[FieldDetails]) -> ObjectSelection:
        definition = kind.extensions.get(BACKREF)
        if not isinstance(definition, StrawberryObjectDefinition):
            raise Unsupported("a type that is not Strawberry's")
        check = kind.is_type_of
        foreign = check is not None and not (
            check.__module__ == _MODULE and check.__qualname__.startswith(_OF_STRAWBERRY)
        )
        if foreign and Guard.FOREIGN_TYPE_CHECK in self._guards:
            raise Unsupported("a type check of its own")
        executor = self._executor
        collected = collect_subfields(
            executor.schema,
            executor.fragments,
            executor.variable_values,
            executor.operation,
            kind,
            details,
            executor.hide_suggestions,
        )
        if collected.new_defer_usages and Guard.DIRECTIVES in self._guards:
            raise Unsupported("@defer")
        fields = [
            selected
            for key, each in collected.grouped_field_set.items()
            if (selected := self._field(kind, key, each)) is not None
        ]
        origin = definition.origin if definition.concrete_of is None else definition.concrete_of.origin
        return ObjectSelection(kind=kind, origin=origin, fields=fields, is_async=any(each.is_async for each in fields))

    def _field(self, kind: GraphQLObjectType, key: str, details: list[FieldDetails]) -> FieldSelection | None:
        self.fields += 1
        if self.fields > FIELDS_MAX:
            raise Unsupported("more fields than a plan may have")
        self._check_details(details)
        name = details[0].node.name.value
        field: GraphQLField | None = self._executor.schema.get_field(kind, name)
        if field is None:
            return None
        if name == "__typename":
            return FieldSelection(key=key, type=field.type, call=None, child=None)
        call = Call(self._converter, kind, field, details, self._guards)
        return FieldSelection(key=key, type=field.type, call=call, child=self.child(field.type, details))

    def _check_details(self, details: list[FieldDetails]) -> None:
        for each in details:
            if each.fragment_variable_values is not None and Guard.FRAGMENT_ARGUMENTS in self._guards:
                raise Unsupported("arguments of fragments")
            names = {directive.name.value for directive in each.node.directives or ()}
            if not names <= _HARMLESS and Guard.DIRECTIVES in self._guards:
                raise Unsupported("a directive")


def _is_found_by_class(kind: GraphQLObjectType) -> bool:
    """Whether Strawberry finds this type behind an interface or union by the class of an object alone."""
    definition = kind.extensions.get(BACKREF)
    return (
        isinstance(definition, StrawberryObjectDefinition)
        and definition.concrete_of is None
        and definition.name == kind.name
    )
