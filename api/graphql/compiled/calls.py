"""How a field is resolved: by which function, called with what."""

import datetime as dt
import inspect
from collections.abc import Callable, Mapping
from decimal import Decimal
from enum import Enum
from typing import Any, NoReturn
from uuid import UUID

from graphql import GraphQLField, GraphQLNonNull, GraphQLObjectType, is_leaf_type
from graphql.execution import Executor, get_argument_values
from graphql.execution.collect_fields import FieldDetails
from graphql.language import ListValueNode, ObjectValueNode, ValueNode, VariableNode
from graphql.pyutils import Path
from strawberry.schema.schema_converter import GraphQLCoreConverter
from strawberry.types.arguments import convert_arguments
from strawberry.types.field import StrawberryField
from strawberry.types.fields.resolver import StrawberryResolver
from strawberry.types.unset import UnsetType

from api.graphql.compiled.batched import batch_of
from api.graphql.compiled.gates import Gate, Resolver, gate_of
from api.graphql.compiled.guards import Guard, Guards, Surprise, Unsupported

BACKREF = GraphQLCoreConverter.DEFINITION_BACKREF

# The functions that Strawberry puts between graphql-core and a resolver, which compiled code leaves out.
_STRAWBERRYS = frozenset(
    f"GraphQLCoreConverter.from_resolver.<locals>.{name}"
    for name in ("_get_basic_result", "_resolver", "_async_resolver")
)
_MODULE = GraphQLCoreConverter.__module__

_IMMUTABLE: frozenset[type] = frozenset(
    {
        *(type(None), bool, int, float, str, bytes, Decimal, UUID, UnsetType),
        *(dt.datetime, dt.date, dt.time, dt.timedelta),
    }
)


class _UnknownPath:
    """The path in an `info` that many objects share: whoever looks at it gets a Surprise, because it would be wrong."""

    def __getattr__(self, name: str) -> NoReturn:
        raise Surprise("a resolver asks for its path")

    def _ask(self, *_: object) -> NoReturn:
        raise Surprise("a resolver asks for its path")

    __iter__ = __getitem__ = __len__ = __hash__ = _ask
    __eq__ = __ne__ = __repr__ = __str__ = _ask


_UNKNOWN_PATH = _UnknownPath()


class Call:
    """How compiled code gets a field's value from an object: an attribute, or a resolver's own function.

    Making one raises Unsupported for a field that has to be resolved by graphql-core and Strawberry.
    """

    def __init__(
        self,
        converter: GraphQLCoreConverter,
        kind: GraphQLObjectType,
        field: GraphQLField,
        details: list[FieldDetails],
        guards: Guards,
    ) -> None:
        self._converter = converter
        self._kind = kind
        self._field = field
        self._details = details
        self._guards = guards
        definition = field.extensions.get(BACKREF)
        resolve = field.resolve
        if not isinstance(definition, StrawberryField) or resolve is None:
            raise Unsupported("a field that is not Strawberry's")
        self._definition = definition
        self.gate: Gate[Any] | None = gate_of(resolve)  # Any: whatever context the schema has
        if self.gate is not None and isinstance(field.type, GraphQLNonNull) and Guard.NULL in guards:
            raise Unsupported("a gate before what must not be null")
        _check_bare(resolve if self.gate is None else self.gate.resolve, guards)
        if definition.extensions and Guard.FIELD_EXTENSIONS in guards:
            raise Unsupported("field extensions")
        self.function: Callable[..., object] | None = None
        self.attribute = definition.python_name
        self.is_async = False
        self.is_batched = False
        self.takes_self = False
        self.source_keywords: list[str] = []
        self.info_keyword: str | None = None
        if definition.base_resolver is not None:
            self._read(definition.base_resolver)
        elif definition.default_resolver is not getattr and Guard.DEFAULT_RESOLVER in guards:
            raise Unsupported("a default resolver of the schema's own")
        self._read_arguments()

    def _read(self, resolver: StrawberryResolver[Any]) -> None:  # Any: whatever the resolver returns
        function = resolver.wrapped_func
        if type(resolver) is not StrawberryResolver or not callable(function):
            raise Unsupported("a resolver of another kind")
        self.function = function
        self.takes_self = resolver.self_parameter is not None
        sources = (resolver.parent_parameter, resolver.root_parameter)
        self.source_keywords = [each.name for each in sources if each is not None]
        self.info_keyword = None if resolver.info_parameter is None else resolver.info_parameter.name
        self.is_async = self._definition.is_async
        if self.is_async and not inspect.iscoroutinefunction(function):
            raise Unsupported("asynchronous, but no coroutine function")
        many = batch_of(function)
        if many is not None:
            self.function, self.is_batched = many, True

    def _read_arguments(self) -> None:
        written = self._details[0].node.arguments or ()
        self.has_arguments = bool(self._field.args or written)
        self.arguments_vary = any(_varies(argument.value) for argument in written)
        if Guard.MUTABLE_ARGUMENT not in self._guards:
            return
        for argument in self._field.args.values():
            if not is_leaf_type(argument.type.of_type if isinstance(argument.type, GraphQLNonNull) else argument.type):
                raise Unsupported("an argument that holds others")

    def info(self, executor: Executor[Any]) -> object:  # Any: graphql-core's own context, which means nothing here
        """The `info` that all objects of a run share."""
        nodes = [each.node for each in self._details]
        path: object = _UNKNOWN_PATH
        if Guard.PATH not in self._guards:
            path = Path(None, nodes[0].name.value, self._kind.name)
        # It stands where a path is expected, and says so to whoever asks.
        raw = executor.build_resolve_info(self._field, nodes, self._kind, path)  # type: ignore[arg-type]
        return self._converter.config.info_class(_raw_info=raw, _field=self._definition)

    def arguments(self, executor: Executor[Any]) -> Mapping[str, object]:  # Any: as above
        """The arguments that all objects of a run share, as the resolver takes them.

        Raises GraphQLError for values that do not fit, Surprise for one that a resolver might change.
        """
        details = self._details[0]
        values = get_argument_values(
            self._field,
            details.node,
            executor.variable_values,
            details.fragment_variable_values,
            executor.hide_suggestions,
        )
        converter = self._converter
        converted = convert_arguments(
            values, self._definition.arguments, scalar_registry=converter.scalar_registry, config=converter.config
        )
        if Guard.MUTABLE_ARGUMENT in self._guards:
            for value in converted.values():
                if value.__class__ not in _IMMUTABLE and not isinstance(value, Enum):
                    raise Surprise("an argument that can be changed")
        return converted


def _check_bare(resolve: Resolver, guards: Guards) -> None:
    """Raises Unsupported for a resolver that does more than call what stands beside the field."""
    bare = resolve.__module__ == _MODULE and resolve.__qualname__ in _STRAWBERRYS
    if not bare and Guard.FOREIGN_RESOLVER in guards:
        raise Unsupported("a resolver around Strawberry's")


def _varies(value: ValueNode) -> bool:
    """Whether an argument as it is written depends on variables."""
    if isinstance(value, VariableNode):
        return True
    if isinstance(value, ListValueNode):
        return any(_varies(each) for each in value.values)
    if isinstance(value, ObjectValueNode):
        return any(_varies(each.value) for each in value.fields)
    return False
