"""GraphQL documents made out of a schema: for each field the least that can be asked, and for each type all that can be."""

from collections.abc import Mapping

from graphql import (
    GraphQLEnumType,
    GraphQLField,
    GraphQLInputObjectType,
    GraphQLInputType,
    GraphQLInterfaceType,
    GraphQLList,
    GraphQLNonNull,
    GraphQLObjectType,
    GraphQLOutputType,
    get_named_type,
)

# Literals of the scalars that are required somewhere.
SCALARS: Mapping[str, str] = {
    "BigInt": "1",
    "Boolean": "true",
    "DateTime": '"2026-01-01T00:00:00Z"',
    "Decimal": '"10.00"',
    "Float": "1.0",
    "Int": "1",
    "JSON": "{}",
    "String": '"x"',
}
# Where the least that the schema requires is not enough.
_INPUTS: Mapping[str, str] = {"MoneyInput": '{currency: USD, amount: "10.00"}'}


def call(name: str, field: GraphQLField, *, id_: str, given: Mapping[str, str] | None = None) -> str:
    """The field with every argument that it requires, each id being `id_`; `given` are literals by the argument's name."""
    arguments = {
        argument: (given or {}).get(argument) or literal(definition.type, id_)
        for argument, definition in field.args.items()
        if argument in (given or {}) or isinstance(definition.type, GraphQLNonNull)
    }
    shown = f"({', '.join(f'{argument}: {value}' for argument, value in arguments.items())})" if arguments else ""
    return f"{name}{shown}{_least(field.type)}"


def everything(kind: GraphQLObjectType, *, id_: str, depth: int = 2) -> str:
    """A selection of every field of a type, and of everything below it so deep."""
    parts = ["__typename"]
    for name, field in kind.fields.items():
        below = get_named_type(field.type)
        shown = call(name, field, id_=id_)
        if isinstance(below, GraphQLObjectType) and depth > 1:
            parts.append(shown.removesuffix("{ __typename }") + everything(below, id_=id_, depth=depth - 1))
        else:
            parts.append(shown)
    return f"{{ {' '.join(parts)} }}"


def literal(kind: GraphQLInputType, id_: str) -> str:
    """A value of an input type."""
    if isinstance(kind, GraphQLNonNull):
        return literal(kind.of_type, id_)
    if isinstance(kind, GraphQLList):
        return f"[{literal(kind.of_type, id_)}]"
    if isinstance(kind, GraphQLEnumType):
        return str(next(iter(kind.values)))
    if isinstance(kind, GraphQLInputObjectType):
        if kind.name in _INPUTS:
            return _INPUTS[kind.name]
        required = ((name, each) for name, each in kind.fields.items() if isinstance(each.type, GraphQLNonNull))
        return f"{{{', '.join(f'{name}: {literal(each.type, id_)}' for name, each in required)}}}"
    return f'"{id_}"' if kind.name == "ID" else SCALARS[kind.name]


def _least(kind: GraphQLOutputType) -> str:
    return "{ __typename }" if isinstance(get_named_type(kind), GraphQLObjectType | GraphQLInterfaceType) else ""
