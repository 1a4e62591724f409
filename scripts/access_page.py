"""docs/access.md: who may see and do what, out of the table that decides it."""

from collections.abc import Iterator

from domain.access import MEANINGS, ROLES, Capability
from scripts.tables import table

_PAGE = """\
# Who may see and do what

Every request acts for a user, whose role is read from the database each time. What a role allows is named by *capabilities*;
whose objects they are about is the role's *reach*. Both stand in one table in the code (`ROLES` in `domain/access.py`), out
of which this page is written.

{roles}

The reach is a condition inside every query, so that no code can forget it. An object that you may not see looks exactly like one
that does not exist: null where it is asked for by its id, `NOT_FOUND` where something is to be done with it. Asking for
something that takes a capability which you do not have is answered with `FORBIDDEN`, without credentials with
`UNAUTHENTICATED`. A few fields of objects that you may see are for others alone, and null for you; their descriptions say so.
"""


def access_page() -> str:
    return _PAGE.format(roles=_roles())


def _roles() -> str:
    head = ("Capability", *(role.value for role in ROLES), "Allows")
    reach = ("*reach*", *(rights.reach.value for rights in ROLES.values()), "Whose objects it is about.")
    return table(head, [reach, *_rows()])


def _rows() -> Iterator[tuple[str, ...]]:
    for capability in Capability:
        marks = ("yes" if capability in rights.capabilities else "" for rights in ROLES.values())
        yield (f"`{capability}`", *marks, MEANINGS[capability])
