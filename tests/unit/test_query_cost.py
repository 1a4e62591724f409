"""What an operation costs before it runs, by the sizes of its pages, and what of that it has cost in the end."""

import pytest
from graphql import get_introspection_query

from api.graphql.cost import COUNT, FIELD, INTROSPECTED_LIST, MUTATION, ROW, SHORT_LIST
from api.graphql.documents import Documents, InvalidDocument, Operation
from api.graphql.guards import DocumentLimits
from api.graphql.schema import schema
from app.settings import Settings
from domain.payments.queries import PAGE_SIZE_DEFAULT, PAGE_SIZE_MAX

ITEM = ROW + FIELD
QUERY_COST_MAX: int = Settings.model_fields["query_cost_max"].default


def operation(document: str) -> Operation:
    return Documents(schema._schema, DocumentLimits()).read(document).operation(None)


def cost(document: str, **variables: object) -> int:
    return operation(document).plan.cost(variables)


def paged(arguments: str, variables: str = "") -> str:
    return f"query {variables} {{ transactions{arguments} {{ nodes {{ id }} }} }}"


def of_page(size: int) -> int:
    return 2 * FIELD + size * ITEM


@pytest.mark.parametrize(
    ("document", "expected"),
    [
        ("{ __typename }", FIELD),
        ("{ me { id name } }", 3 * FIELD + ROW),
        ("{ me { ...A ...A } } fragment A on User { id }", 3 * FIELD + ROW),
        (paged(""), of_page(PAGE_SIZE_DEFAULT)),
        (paged("(first: 7)"), of_page(7)),
        (paged("(last: 7)"), of_page(7)),
        # What is refused later costs no less than nothing, and no more than the most.
        (paged("(first: -7)"), of_page(1)),
        (paged("(first: 1000000)"), of_page(PAGE_SIZE_MAX)),
        (paged("(first: null)"), of_page(PAGE_SIZE_DEFAULT)),
        ("{ transactions { totalCount } }", FIELD + COUNT),
        # Fragments count where they are spread: inside of a page, and by the fields of their own type.
        ("{ transactions(first: 7) { ... { nodes { id } } } }", of_page(7)),
        ("{ transactions(first: 7) { ...A } } fragment A on TransactionConnection { nodes { id } }", of_page(7)),
        (
            '{ node(id: "a") { ... on Transaction { refunds(first: 7) { nodes { id } } } } }',
            FIELD + ROW + of_page(7),
        ),
        (
            '{ node(id: "a") { ...A } } fragment A on Transaction { refunds(first: 7) { nodes { id } } }',
            FIELD + ROW + of_page(7),
        ),
        ("{ __schema { types { name } } }", 2 * FIELD + INTROSPECTED_LIST * FIELD),
        ('{ nodes(ids: ["a", "b", "c"]) { id } }', FIELD + 3 * ITEM),
        (
            "{ transactions(first: 10) { edges { cursor node { refunds(first: 5) { nodes { id } } } } } }",
            2 * FIELD + 10 * (2 * FIELD + ROW + 2 * FIELD + 5 * ITEM),
        ),
        (
            'mutation { void(input: {idempotencyKey: "a", transactionId: "b"}) { replayed errors { code } } }',
            MUTATION + 3 * FIELD + SHORT_LIST * FIELD,
        ),
    ],
)
def test_the_cost_is_known_before_anything_runs(document: str, expected: int) -> None:
    assert cost(document) == expected


def test_mutations_in_fragments_cost_what_they_cost_outside() -> None:
    act = 'signOut(input: {refreshToken: "a"}) { signedOut }'
    written_out = cost(f"mutation {{ a: {act} b: {act} c: {act} }}")
    assert written_out == 3 * (MUTATION + 2 * FIELD)
    assert cost(f"mutation {{ a: {act} ...B }} fragment B on Mutation {{ b: {act} ... {{ c: {act} }} }}") == written_out


@pytest.mark.parametrize(
    ("value", "size"),
    [(7, 7), (-1, 1), (10**30, PAGE_SIZE_MAX), (None, PAGE_SIZE_DEFAULT), ("x", PAGE_SIZE_DEFAULT), ([], 1)],
)
def test_a_page_size_may_be_a_variable(value: object, size: int) -> None:
    assert cost(paged("(first: $n)", "($n: Int)"), n=value) == of_page(size)


def test_a_variable_counts_below_a_page_of_a_size_that_is_written_out() -> None:
    document = "query ($n: Int) { transactions(first: 10) { nodes { refunds(first: $n) { nodes { id } } } } }"
    assert cost(document, n=7) == 2 * FIELD + 10 * (2 * FIELD + ROW + 7 * ITEM)


def test_a_variable_that_is_left_out_costs_the_most() -> None:
    assert cost(paged("(first: $n)", "($n: Int = 100)")) == of_page(PAGE_SIZE_MAX)


def test_the_other_variable_counts_where_the_first_is_null() -> None:
    document = paged("(first: $n, last: $m)", "($n: Int, $m: Int)")
    assert cost(document, n=None, m=9) == of_page(9)


def test_ids_in_a_variable_cost_each() -> None:
    assert cost("query ($ids: [ID!]!) { nodes(ids: $ids) { id } }", ids=["a"] * 30) == FIELD + 30 * ITEM


def test_what_the_answer_holds_is_what_it_has_cost() -> None:
    plan = operation("{ transactions(first: 50) { nodes { refunds(first: 5) { nodes { id } } } } }").plan
    row = ROW + 2 * FIELD
    assert plan.cost({}) == 2 * FIELD + 50 * (row + 5 * ITEM)
    answer = {"transactions": {"nodes": [{"refunds": {"nodes": [{"id": "a"}]}}, {"refunds": {"nodes": []}}]}}
    assert plan.actual(answer) == 2 * FIELD + 2 * row + ITEM
    for nothing in (None, {}, {"transactions": None}, {"transactions": {"nodes": None}}):
        assert plan.actual(nothing) == 2 * FIELD


def test_parents_without_a_list_cost_what_they_are_and_no_more() -> None:
    plan = operation("{ transactions(first: 50) { nodes { refunds(first: 5) { nodes { id } } } } }").plan
    nodes = [None, {}, {"refunds": None}, {"refunds": {"nodes": None}}, {"refunds": {"nodes": [None, {"id": "a"}]}}]
    assert plan.actual({"transactions": {"nodes": nodes}}) == 2 * FIELD + 5 * (ROW + 2 * FIELD) + 2 * ITEM


def test_what_the_answer_holds_is_found_under_its_own_names() -> None:
    plan = operation("{ mine: transactions(first: 50) { some: nodes { id } } }").plan
    assert plan.actual({"mine": {"some": [{"id": "a"}, {"id": "b"}]}}) == of_page(2)


def test_tools_may_introspect_but_not_in_circles() -> None:
    assert cost(get_introspection_query()) < QUERY_COST_MAX
    for around in ("fields { type {", "possibleTypes { interfaces {"):
        circle = f"{around} " * 5 + "name" + " } }" * 5
        with pytest.raises(InvalidDocument):
            operation(f"{{ __schema {{ types {{ {circle} }} }} }}")
