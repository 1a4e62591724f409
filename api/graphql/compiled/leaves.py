"""Code for leaves: at sight for the classes that are expected, by graphql-core's own coercion for all others."""

from graphql import GraphQLEnumType, GraphQLLeafType
from graphql.pyutils import Undefined
from graphql.type.scalars import serialize_boolean, serialize_id, serialize_int, serialize_string

from api.graphql.compiled.guards import Guard, Guards
from api.graphql.compiled.source import Source
from api.graphql.compiled.values import INT_MAX, INT_MIN, PLAIN, enum_names, leaf_coercion


def leaf_code(source: Source, kind: GraphQLLeafType, value: str, guards: Guards, *, refuses_null: bool) -> str:
    """An expression for the leaf that graphql-core would make of the expression `value`."""
    name = source.name("v")
    coerced = source.constant(leaf_coercion(kind, guards, refuses_null=refuses_null), "coerced")
    odd = f"{coerced}({name})" if refuses_null else f"None if {name} is None else {coerced}({name})"
    if Guard.LEAF_CLASS not in guards:
        return _unguarded(source, kind, value, name)
    known = _known_class(kind)
    if known is not None:
        in_range = f" and {INT_MIN} <= {name} <= {INT_MAX}" if known == "int" and Guard.INT_RANGE in guards else ""
        return f"({name} if ({name} := {value}).__class__ is {known}{in_range} else {odd})"
    if isinstance(kind, GraphQLEnumType):
        found = enum_names(kind)
        if found is None:
            return (
                f"(None if ({name} := {value}) is None else {coerced}({name}))"
                if not refuses_null
                else f"{coerced}({value})"
            )
        members, names = source.constant(found[0], "enum"), source.constant(found[1], "names")
        return f"({names}[{name}] if ({name} := {value}).__class__ is {members} else {odd})"
    leaf = source.name("leaf")
    coerce, plain = source.constant(kind.coerce_output_value, "coerce"), source.constant(PLAIN, "plain")
    undefined = source.constant(Undefined, "undefined")
    made = f"({leaf} := {coerce}({name})) is not None and {leaf} is not {undefined}"
    if Guard.LEAF_RESULT not in guards:
        made = f"(({leaf} := {coerce}({name})), True)[1]"
    return f"({leaf} if ({name} := {value}).__class__ in {plain} and {made} else {odd})"


def _known_class(kind: GraphQLLeafType) -> str | None:
    """The class whose values a built-in scalar leaves as they are."""
    coerce = kind.coerce_output_value
    if coerce is serialize_string or coerce is serialize_id:
        return "str"
    if coerce is serialize_boolean:
        return "bool"
    return "int" if coerce is serialize_int else None


def _unguarded(source: Source, kind: GraphQLLeafType, value: str, name: str) -> str:
    """The same for whoever trusts every resolver, which tests show to be wrong."""
    if _known_class(kind) is not None:
        return value
    coerce = source.constant(kind.coerce_output_value, "coerce")
    return f"(None if ({name} := {value}) is None else {coerce}({name}))"
