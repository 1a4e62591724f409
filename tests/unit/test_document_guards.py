"""How large a document may be: each limit by itself, and that looking costs one look at each node, whatever is sent."""

import pytest
from graphql import parse

from api.graphql.documents import CACHED_DOCUMENTS_MAX, Documents, InvalidDocument
from api.graphql.guards import DocumentLimits, Measure
from api.graphql.schema import schema
from domain.errors import BadInput

LIMITS = DocumentLimits()


def documents(limits: DocumentLimits = LIMITS) -> Documents:
    return Documents(schema._schema, limits)


def fragments(number: int, body: str, last: str) -> str:
    """A chain: each fragment holds `body`, in which NEXT stands for the spread of the next one."""
    chain = (
        f"fragment F{n} on Query {{ {body.replace('NEXT', f'...F{n + 1}').replace('NUMBER', str(n))} }}"
        for n in range(number)
    )
    return " ".join(["{ ...F0 }", *chain, f"fragment F{number} on Query {{ {last} }}"])


BOMBS = {
    "two spreads": fragments(28, "NEXT NEXT", "__typename"),
    "two spreads of nothing": fragments(28, "NEXT NEXT", "...Unknown"),
    "inline fragments": fragments(28, "... { NEXT } ... { NEXT }", "__typename"),
    "many spreads": fragments(28, "NEXT " * 30, "__typename"),
    "aliases": fragments(28, "aNUMBER: __typename NEXT NEXT", "__typename"),
    "directives": fragments(28, "NEXT @skip(if: false) NEXT @skip(if: false)", "__typename"),
    "nobody spreads it": "{ __typename } " + fragments(28, "NEXT NEXT", "__typename").replace("{ ...F0 }", "", 1),
}


@pytest.mark.parametrize("bomb", BOMBS.values(), ids=BOMBS.keys())
def test_a_fragment_bomb_is_refused_after_one_look_at_each_node(bomb: str) -> None:
    ast = parse(bomb)
    measure = Measure(ast, LIMITS)
    with pytest.raises(BadInput, match="which is the most"):
        measure.check()
    assert measure.steps <= bomb.count("...") + bomb.count("__typename") + 2


def test_a_document_within_the_limits_is_walked_no_more_often_than_its_written_out_size() -> None:
    document = "{ me { ...A ...A ...A } } fragment A on User { ...B ...B } fragment B on User { id name }"
    measure = Measure(parse(document), LIMITS)
    size = measure.check()[None]
    # me, three of A, each with two of B, each with id and name.
    assert size.selections == 1 + 3 * (1 + 2 * (1 + 2))
    assert measure.steps <= 8 + 2 * size.selections


@pytest.mark.parametrize(
    ("limit", "least", "document"),
    [
        ("depth", 4, "{ transactions { nodes { user { id } } } }"),
        ("depth", 3, "{ transactions { nodes { id } } me { id } }"),
        ("depth", 2, "{ me { ...A } } fragment A on User { ... { id } }"),
        ("selections", 4, "{ me { id name email } }"),
        ("selections", 3, "{ me { ...A } } fragment A on User { id }"),
        ("selections", 4, "query A { me { id } } query B { me { id } }"),
        ("aliases", 2, "{ a: __typename b: __typename }"),
        ("aliases", 2, "{ ...A ...A } fragment A on Query { a: __typename }"),
        ("directives", 2, "{ a: __typename @skip(if: true) b: __typename @include(if: true) }"),
        ("directives", 2, "{ me { id @skip(if: true) } a: __typename @include(if: true) }"),
        ("directives_in_one_place", 2, "{ __typename @skip(if: true) @include(if: true) }"),
        ("root_fields", 2, "{ ...A } fragment A on Query { __typename me { id } }"),
        ("repetitions", 2, "{ me { id } me { id } }"),
        ("repetitions", 2, "{ me { id id } }"),
        ("repetitions", 2, "{ me { id } ...A } fragment A on Query { ... { me { id } } }"),
        ("operations", 2, "query A { __typename } query B { __typename }"),
        (
            "mutations",
            2,
            """mutation {
              a: void(input: {idempotencyKey: "a", transactionId: "b"}) { replayed }
              b: capture(input: {idempotencyKey: "a", transactionId: "b"}) { replayed }
            }""",
        ),
    ],
)
def test_each_limit_holds_to_the_point(limit: str, least: int, document: str) -> None:
    def with_most(most: int) -> DocumentLimits:
        return DocumentLimits(**{"mutations": 2, limit: most})

    documents(with_most(least)).read(document)
    with pytest.raises(BadInput, match=rf"\b{least - 1}\b.* is the most"):
        documents(with_most(least - 1)).read(document)


@pytest.mark.parametrize(
    ("limit", "least", "document"),
    [
        ("selections", 4, "{ me { id } } fragment A on User { id name }"),
        ("repetitions", 2, "{ __typename } fragment A on Query { me { id } me { id } }"),
        ("directives_in_one_place", 2, "query @a @b { __typename }"),
    ],
)
def test_what_validation_refuses_is_limited_before_it(limit: str, least: int, document: str) -> None:
    Measure(parse(document), DocumentLimits(**{limit: least})).check()
    with pytest.raises(BadInput, match=rf"\b{least - 1}\b.* is the most"):
        Measure(parse(document), DocumentLimits(**{limit: least - 1})).check()


def test_one_field_under_several_names_is_no_repetition() -> None:
    documents(DocumentLimits(repetitions=1)).read("{ a: __typename b: __typename }")


@pytest.mark.parametrize(
    "document",
    [
        "{ ...A } fragment A on Query { ...A }",
        "{ ...A } fragment A on Query { ...B } fragment B on Query { ... { ...A } }",
        "{ __typename } fragment A on Query { me { id } ...A }",
    ],
)
def test_a_fragment_that_contains_itself_is_refused_before_validation(document: str) -> None:
    with pytest.raises(BadInput, match="contains itself"):
        documents().read(document)


@pytest.mark.parametrize(
    ("document", "what"),
    [
        ("{ __typename }" + "#" * 50_000, "characters"),
        ("{ __typename }" + "\n" * 5_001, "lines"),
        ("{ __typename }" + "\r" * 5_001, "lines"),
        ("{ nodes(ids: [" + "9" * 1000 + "]) { id } }", "digits"),
    ],
    ids=["characters", "lines", "old lines", "digits"],
)
def test_the_text_is_bounded_before_it_is_read(document: str, what: str) -> None:
    with pytest.raises(BadInput, match=what):
        documents().read(document)


@pytest.mark.parametrize(
    ("document", "what"),
    [("{ " + "a " * 2_001, "token"), ("{ a" * 900, "nested"), ("#\n" * 1_001 + "{ __typename }", "comment")],
)
def test_the_parser_is_bounded(document: str, what: str) -> None:
    with pytest.raises(InvalidDocument) as refused:
        documents().read(document)
    assert what in refused.value.errors[0].message


def test_an_invalid_document_is_told_of_a_few_mistakes_only() -> None:
    # Each mistake in a large input object prints the whole of it.
    wrong = " ".join(f"a{n}: 1" for n in range(600))
    with pytest.raises(InvalidDocument) as refused:
        documents().read(f"{{ transactions(filter: {{ {wrong} }}) {{ totalCount }} }}")
    assert len(refused.value.errors) <= 6


def test_only_valid_documents_are_kept() -> None:
    kept = documents()
    with pytest.raises(InvalidDocument):
        kept.read("{ unknown }")
    assert kept.known("{ unknown }") is None
    assert kept.known("{ me { id } }") is None
    document = kept.read("{ me { id } }")
    assert kept.known("{ me { id } }") is document


def test_no_more_documents_are_kept_than_may_be_and_those_in_use_stay() -> None:
    kept = documents()
    numbered = [f"query A{number} {{ __typename }}" for number in range(CACHED_DOCUMENTS_MAX + 1)]
    for document in numbered[:-1]:
        kept.read(document)
    assert kept.known(numbered[0]) is not None
    kept.read(numbered[-1])
    assert [document for document in numbered if kept.known(document) is None] == [numbered[1]]
