"""Who may ask for a field: its rule stands beside it, and one mechanism holds them all.

Every field of a root type has a rule, and so have those fields of objects that not everybody sees who sees the object. `enforce`
wraps their resolvers once, when the schema is built, and refuses a schema in which one is missing; fields without a rule of
their own cost nothing. Which objects somebody sees is no rule of a field: it is a condition of the query that finds them.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from graphql import (
    GraphQLField,
    GraphQLNonNull,
    GraphQLObjectType,
    GraphQLResolveInfo,
    GraphQLSchema,
    default_field_resolver,
)

from api.graphql.compiled import gated
from api.graphql.context import Context
from api.graphql.nodes import Node
from domain.access import Capability

_RULE = "rule"
_STRAWBERRY = "strawberry-definition"

Metadata: TypeAlias = Mapping[Any, Any]  # Any: as Strawberry declares a field's metadata
# Any: a resolver takes whatever arguments its field has, and answers with whatever the field holds.
Resolver: TypeAlias = Callable[..., Any]


@dataclass(frozen=True, slots=True)
class Rule:
    """What somebody needs for a field: a capability; else credentials; else nothing, where `anonymous`.

    What is only done `in_person` is refused to API keys. A field that is `withheld` is null for whoever lacks the capability;
    any other is refused to them.
    """

    capability: Capability | None = None
    anonymous: bool = False
    withheld: bool = False
    in_person: bool = False


class RuleMissing(Exception):
    """The schema cannot be served: each line names a field or type and says what is wrong with its rule."""


ANYBODY: Metadata = {_RULE: Rule(anonymous=True)}
"""For a root field that needs no credentials."""

SIGNED_IN: Metadata = {_RULE: Rule()}
"""For a root field that everybody with credentials may ask for."""


IN_PERSON: Metadata = {_RULE: Rule(in_person=True)}
"""For a root field that is about the session of whoever asks, which an API key has none of."""


def needs(capability: Capability) -> Metadata:
    """For a root field that is refused to whoever lacks the capability."""
    return {_RULE: Rule(capability)}


def withheld_without(capability: Capability) -> Metadata:
    """For a field that is null for whoever sees the object and lacks the capability."""
    return {_RULE: Rule(capability, withheld=True)}


def rule_of(field: GraphQLField) -> Rule | None:
    """The rule that stands beside a field."""
    definition = field.extensions.get(_STRAWBERRY)
    rule = None if definition is None else definition.metadata.get(_RULE)
    return rule if isinstance(rule, Rule) else None


def rules_of(schema: GraphQLSchema) -> Iterator[tuple[str, Rule]]:
    """Every rule of a schema, by the name of its field, such as "Query.me"."""
    for kind, name, field in _fields(schema):
        rule = rule_of(field)
        if rule is not None:
            yield f"{kind.name}.{name}", rule


def node_types(schema: GraphQLSchema) -> dict[str, type[Node]]:
    """The classes behind the types whose objects have a global id."""
    return {
        kind.name: kind.extensions[_STRAWBERRY].origin
        for kind in _object_types(schema)
        if any(each.name == "Node" for each in kind.interfaces)
    }


def enforce(schema: GraphQLSchema) -> None:
    """Let the rules hold from now on. Raises RuleMissing, and has changed nothing then."""
    complaints = [*_complaints(schema)]
    if complaints:
        raise RuleMissing("\n".join(complaints))
    for _, _, field in _fields(schema):
        rule = rule_of(field)
        if rule is not None and not rule.anonymous:
            resolve = field.resolve or default_field_resolver
            field.resolve = _withheld(rule, resolve) if rule.withheld else _refused(rule, resolve)


def _refused(rule: Rule, resolve: Resolver) -> Resolver:
    capability, in_person = rule.capability, rule.in_person

    def resolver(source: object, info: GraphQLResolveInfo[Context], **arguments: object) -> object:
        context = info.context
        if in_person:
            context.require_session()
        elif capability is None:
            context.require_actor()
        else:
            context.require(capability)
        return resolve(source, info, **arguments)

    return resolver


def _withheld(rule: Rule, resolve: Resolver) -> Resolver:
    capability = rule.capability

    def shown(context: Context) -> bool:
        return capability is None or context.may(capability)

    return gated(resolve, shown)


def _complaints(schema: GraphQLSchema) -> Iterator[str]:
    roots = {schema.query_type, schema.mutation_type, schema.subscription_type}
    for kind, name, field in _fields(schema):
        rule = rule_of(field)
        if kind in roots and (rule is None or rule.withheld):
            yield f"{kind.name}.{name} has no rule: give it metadata=needs(...), SIGNED_IN or ANYBODY of api.graphql.rules."
        elif kind not in roots and rule is not None and not rule.withheld:
            yield f"{kind.name}.{name} is no root field: it can only be withheld, or belong to an object that is not seen."
        elif rule is not None and rule.withheld and isinstance(field.type, GraphQLNonNull):
            yield f"{kind.name}.{name} is withheld from some, and so has to be nullable."
    for name, origin in node_types(schema).items():
        if not hasattr(origin, "seen_with"):
            yield f"{name} is a Node without `seen_with`: say with which capability it is seen."


def _object_types(schema: GraphQLSchema) -> Iterator[GraphQLObjectType]:
    for kind in schema.type_map.values():
        if isinstance(kind, GraphQLObjectType) and not kind.name.startswith("__"):
            yield kind


def _fields(schema: GraphQLSchema) -> Iterator[tuple[GraphQLObjectType, str, GraphQLField]]:
    for kind in _object_types(schema):
        for name, field in kind.fields.items():
            yield kind, name, field
