"""docs/access.md: who may see and do what, out of the table that decides it."""

from collections.abc import Iterator

from api.graphql.rules import Rule, node_types, rules_of
from api.graphql.schema import schema
from domain.access import MEANINGS, ROLES, Capability
from scripts.tables import table

SCHEMA = schema._schema  # noqa: SLF001  Strawberry has no public name for the graphql-core schema inside

_PAGE = """\
# Who may see and do what

Every request acts for a user, whose role is read from the database each time. What a role allows is named by *capabilities*;
whose objects they are about is the role's *reach*. Both stand in one table in the code (`ROLES` in `domain/access.py`), out
of which this page is written.

{roles}

The reach is a condition inside every query, so that no code can forget it. An object that you may not see looks exactly like one
that does not exist: null where it is asked for by its id, `NOT_FOUND` where something is to be done with it. Asking for
something that takes a capability which you do not have is answered with `FORBIDDEN`, without credentials with
`UNAUTHENTICATED`.

## Fields

A field of `Query` or `Mutation` is refused to whoever lacks what stands beside it here. The rule stands beside the field in the
code too, and a schema with a field that has none is not served (`api/graphql/rules.py`).

{fields}

## Objects

With these an object is seen, wherever it is found: in a list, beside another object, or by its id (`node`).

{objects}

Fields of objects that you see, which are null for you all the same unless you have the capability:

{withheld}
"""


def access_page() -> str:
    rules = dict(rules_of(SCHEMA))
    roots = ((f"`{name}`", _needed(rule)) for name, rule in sorted(rules.items()) if not rule.withheld)
    withheld = ((f"`{name}`", f"`{rule.capability}`") for name, rule in sorted(rules.items()) if rule.withheld)
    objects = (
        (f"`{name}`", f"`{kind.seen_with}`" if kind.seen_with else "oneself; `users:read` for others")
        for name, kind in sorted(node_types(SCHEMA).items())
    )
    return _PAGE.format(
        roles=_roles(),
        fields=table(("Field", "Takes"), roots),
        objects=table(("Type", "Seen with"), objects),
        withheld=table(("Field", "Takes"), withheld),
    )


def _needed(rule: Rule) -> str:
    if rule.anonymous:
        return "nothing"
    return "credentials" if rule.capability is None else f"`{rule.capability}`"


def _roles() -> str:
    head = ("Capability", *(role.value for role in ROLES), "Allows")
    reach = ("*reach*", *(rights.reach.value for rights in ROLES.values()), "Whose objects it is about.")
    return table(head, [reach, *_rows()])


def _rows() -> Iterator[tuple[str, ...]]:
    for capability in Capability:
        marks = ("yes" if capability in rights.capabilities else "" for rights in ROLES.values())
        yield (f"`{capability}`", *marks, MEANINGS[capability])
