"""A schema in which a rule is missing, or cannot hold, is not served."""

from typing import ClassVar

import pytest
import strawberry

from api.graphql.nodes import Node
from api.graphql.rules import ANYBODY, SIGNED_IN, RuleMissing, enforce, needs, withheld_without
from domain.access import Capability


@strawberry.type
class Thing(Node):
    """A type with a rule."""

    seen_with: ClassVar[Capability | None] = None
    note: str | None = strawberry.field(default=None, metadata=withheld_without(Capability.LEDGER_READ))


def build(query: type, mutation: type | None = None) -> None:
    enforce(strawberry.Schema(query=query, mutation=mutation)._schema)


def test_a_schema_in_which_every_rule_stands_is_served() -> None:
    @strawberry.type
    class Query:
        """Complete."""

        open: int = strawberry.field(default=1, metadata=ANYBODY)
        signed_in: int = strawberry.field(default=1, metadata=SIGNED_IN)
        thing: Thing | None = strawberry.field(default=None, metadata=needs(Capability.LEDGER_READ))

    build(Query)


def test_a_query_without_a_rule_is_refused() -> None:
    @strawberry.type
    class Query:
        """One field is new."""

        old: int = strawberry.field(default=1, metadata=SIGNED_IN)
        new: int = 1

    with pytest.raises(RuleMissing, match=r"^Query\.new has no rule"):
        build(Query)


def test_a_mutation_without_a_rule_is_refused() -> None:
    @strawberry.type
    class Query:
        """Complete."""

        old: int = strawberry.field(default=1, metadata=SIGNED_IN)

    @strawberry.type
    class Mutation:
        """New."""

        @strawberry.mutation
        def change(self) -> int:
            return 1

    with pytest.raises(RuleMissing, match=r"^Mutation\.change has no rule"):
        build(Query, Mutation)


def test_a_node_type_that_does_not_say_who_sees_it_is_refused() -> None:
    @strawberry.type
    class Secret(Node):
        """Whoever sees these is not said."""

    @strawberry.type
    class Query:
        """Leads there."""

        secret: Secret | None = strawberry.field(default=None, metadata=SIGNED_IN)

    with pytest.raises(RuleMissing, match=r"^Secret is a Node without"):
        build(Query)


def test_what_is_withheld_has_to_be_nullable() -> None:
    @strawberry.type
    class Loud:
        """Cannot be silent."""

        note: str = strawberry.field(default="", metadata=withheld_without(Capability.LEDGER_READ))

    @strawberry.type
    class Query:
        """Leads there."""

        loud: Loud | None = strawberry.field(default=None, metadata=SIGNED_IN)

    with pytest.raises(RuleMissing, match=r"^Loud\.note is withheld"):
        build(Query)


@pytest.mark.parametrize("rule", [ANYBODY, SIGNED_IN, needs(Capability.LEDGER_READ)])
def test_a_field_of_an_object_cannot_be_refused(rule: dict[str, object]) -> None:
    @strawberry.type
    class Odd:
        """Its field would fail the whole answer."""

        note: str | None = strawberry.field(default=None, metadata=rule)

    @strawberry.type
    class Query:
        """Leads there."""

        odd: Odd | None = strawberry.field(default=None, metadata=SIGNED_IN)

    with pytest.raises(RuleMissing, match=r"^Odd\.note is no root field"):
        build(Query)


def test_a_root_field_cannot_only_be_withheld() -> None:
    @strawberry.type
    class Query:
        """Anonymous callers would be answered."""

        note: str | None = strawberry.field(default=None, metadata=withheld_without(Capability.LEDGER_READ))

    with pytest.raises(RuleMissing, match=r"^Query\.note has no rule"):
        build(Query)
