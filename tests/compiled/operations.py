"""Operations on a schema, made up from a seed: arguments, variables, aliases, fragments, @skip and @include."""

from dataclasses import dataclass, field
from random import Random
from typing import Any

from graphql import (
    GraphQLEnumType,
    GraphQLField,
    GraphQLInputObjectType,
    GraphQLInputType,
    GraphQLInterfaceType,
    GraphQLList,
    GraphQLNamedType,
    GraphQLNonNull,
    GraphQLObjectType,
    GraphQLSchema,
    get_named_type,
    is_abstract_type,
    is_leaf_type,
)

_LEFT_OUT = frozenset({"after", "before", "last"})
_LITERALS: dict[str, tuple[str, ...]] = {
    "String": ('"text"', '"de_DE"'),
    "Boolean": ("true", "false"),
    "DateTime": ('"2026-01-31T12:00:00Z"',),
    "BigInt": ("100", '"100"'),
    "Decimal": ('"10.00"',),
    "JSON": ("{a: 1}",),
}
_KINDS = ("txn", "re", "dp", "att", "usr", "aud", "je", "acct", "whe", "dsc", "key", "nobody")


@dataclass
class MadeUpOperation:
    """An operation's text, and its variables."""

    text: str
    variables: dict[str, Any]  # Any: JSON
    fragments: list[str] = field(default_factory=list)
    declared: list[str] = field(default_factory=list)

    def otherwise(self) -> "MadeUpOperation":
        """The same operation with other variables."""
        pages = {1: 2, 3: None}
        variables = {
            name: not value if isinstance(value, bool) else pages.get(value, value)
            for name, value in self.variables.items()
        }
        return MadeUpOperation(self.text, variables)


class OperationMaker:
    """Makes one operation up."""

    def __init__(self, schema: GraphQLSchema, seed: int, roots: dict[str, list[str]]) -> None:
        self._schema = schema
        self._random = Random(seed)  # noqa: S311  a seed makes it up again
        self._roots = roots
        self._made = MadeUpOperation("", {})
        self._count = 0
        self._left = self._random.choice((6, 12, 25, 40))

    def operation(self) -> MadeUpOperation:
        random = self._random
        kind = "mutation" if self._roots["mutation"] and random.random() < 0.15 else "query"
        root = self._schema.mutation_type if kind == "mutation" else self._schema.query_type
        assert root is not None
        parts = [
            self._field(root.fields[name], name, random.randint(1, 4))
            for name in random.choices(self._roots[kind], k=random.choice((1, 1, 1, 2)))
        ]
        declared = f"({', '.join(self._made.declared)})" if self._made.declared else ""
        self._made.text = f"{kind} Made{declared} {{ {' '.join(parts)} }} {' '.join(self._made.fragments)}"
        return self._made

    def _name(self, prefix: str) -> str:
        self._count += 1
        return f"{prefix}{self._count}"

    def _field(self, definition: GraphQLField, name: str, depth: int) -> str:
        arguments = self._arguments(definition)
        alias = f"{self._name('a')}: " if arguments or self._random.random() < 0.15 else ""
        return f"{alias}{name}{arguments}{self._condition()}{self._selections(definition.type, depth)}"

    def _selections(self, declared: Any, depth: int) -> str:  # Any: an output type
        kind = get_named_type(declared)
        return "" if is_leaf_type(kind) else f" {{ {self._inside(kind, depth)} }}"

    def _inside(self, kind: GraphQLNamedType, depth: int) -> str:
        random = self._random
        parts = ["__typename"] if random.random() < 0.2 else []
        if isinstance(kind, GraphQLObjectType | GraphQLInterfaceType):
            names = [
                name
                for name, each in kind.fields.items()
                if (depth > 0 and self._left > 0) or is_leaf_type(get_named_type(each.type))
            ]
            for name in random.sample(names, min(len(names), random.randint(1, 5))):
                self._left -= 1
                parts.append(self._field(kind.fields[name], name, depth - 1))
            if names and random.random() < 0.1:
                again = random.choice(names)
                if not kind.fields[again].args:
                    parts.append(f"{again}{self._selections(kind.fields[again].type, depth - 1)}")
        if is_abstract_type(kind) and depth > 0:
            members = self._schema.get_possible_types(kind)
            parts += [self._fragment(each, depth) for each in random.sample(members, min(2, len(members)))]
        elif depth > 0 and random.random() < 0.15:
            parts.append(self._fragment(kind, depth))
        return " ".join(parts or ["__typename"])

    def _fragment(self, kind: GraphQLNamedType, depth: int) -> str:
        inside = self._inside(kind, depth - 1)
        if self._random.random() < 0.5:
            return f"... on {kind.name}{self._condition()} {{ {inside} }}"
        name = self._name("F")
        self._made.fragments.append(f"fragment {name} on {kind.name} {{ {inside} }}")
        return f"...{name}{self._condition()}"

    def _condition(self) -> str:
        if self._random.random() > 0.06:
            return ""
        directive = self._random.choice(("skip", "include"))
        return f" @{directive}(if: {self._random.choice(('true', 'false', self._switch()))})"

    def _switch(self) -> str:
        name = self._name("b")
        self._made.declared.append(f"${name}: Boolean!")
        self._made.variables[name] = self._random.random() < 0.5
        return f"${name}"

    def _arguments(self, definition: GraphQLField) -> str:
        given = []
        for name, argument in definition.args.items():
            required = isinstance(argument.type, GraphQLNonNull) and argument.default_value is None
            required = required or name in {"id", "ids", "input"}
            if name in _LEFT_OUT or (not required and self._random.random() < 0.5):
                continue
            given.append(f"{name}: {self._argument(name, argument.type)}")
        return f"({', '.join(given)})" if given else ""

    def _argument(self, name: str, declared: GraphQLInputType) -> str:
        """A literal, or a variable that has a value, a default or neither."""
        kind = get_named_type(declared)
        if name == "first" and self._random.random() < 0.4:
            variable = self._name("n")
            default = self._random.choice((" = 2", ""))
            self._made.declared.append(f"${variable}: Int{default}")
            if self._random.random() < 0.8:
                self._made.variables[variable] = self._random.choice((1, 3, None, 0))
            return f"${variable}"
        if kind.name == "String" and self._random.random() < 0.4:
            variable = self._name("s")
            self._made.declared.append(f"${variable}: {declared}")
            self._made.variables[variable] = self._random.choice(("de_DE", "en_US"))
            return f"${variable}"
        return self._literal(name, declared)

    def _literal(self, name: str, declared: GraphQLInputType) -> str:
        random = self._random
        kind = declared.of_type if isinstance(declared, GraphQLNonNull) else declared
        if isinstance(kind, GraphQLList):
            return f"[{', '.join(self._literal(name, kind.of_type) for _ in range(random.randint(1, 5)))}]"
        if isinstance(kind, GraphQLInputObjectType):
            inside = [
                f"{each}: {self._literal(each, value.type)}"
                for each, value in kind.fields.items()
                if isinstance(value.type, GraphQLNonNull) or random.random() < 0.2
            ]
            return f"{{{', '.join(inside)}}}"
        if isinstance(kind, GraphQLEnumType):
            return str(random.choice(list(kind.values)))
        if kind.name == "ID":
            return f'"{random.choice(_KINDS)}_{random.randint(1, 6):032x}"'
        if kind.name == "Int":
            return str(random.choice((1, 2, 3, 100, 101)))
        literals = _LITERALS[get_named_type(kind).name]
        return random.choice(literals)
