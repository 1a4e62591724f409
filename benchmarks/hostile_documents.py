"""How long the worst documents take to be refused or read that we know of, in CPU time. None may take 50 ms."""

import time

from graphql import get_introspection_query

from api.graphql.documents import Documents, InvalidDocument
from api.graphql.guards import DocumentLimits
from api.graphql.schema import schema
from domain.errors import BadInput

COMPOSITES = " ".join(
    f"{name} {{ amountMinor }}"
    for name in ("money", "capturedMoney", "refundedMoney", "refundableMoney", "feeMoney", "netMoney")
)


def chain(number: int, body: str, last: str) -> str:
    """Fragments that spread each other: NEXT stands for the spread of the next, NUMBER for their number."""
    fragments = (
        f"fragment F{n} on Query {{ {body.replace('NEXT', f'...F{n + 1}').replace('NUMBER', str(n))} }}"
        for n in range(number)
    )
    return " ".join(["{ ...F0 }", *fragments, f"fragment F{number} on Query {{ {last} }}"])


DOCUMENTS = {
    "introspection": get_introspection_query(),
    "a bomb of 28 fragments": chain(28, "NEXT NEXT", "__typename"),
    "a bomb of nothing": chain(28, "NEXT NEXT", "...X"),
    "a chain of 190 fragments": chain(190, "NEXT", "__typename"),
    "1,990 fields of one name": "{" + "__typename " * 1_990 + "}",
    "490 objects of one name": "{" + "me { id } " * 490 + "}",
    "as many comparisons as are allowed": '{ transaction(id: "a") {' + COMPOSITES * 20 + "} }",
    "the same in fragments": '{ transaction(id: "a") {'
    + " ".join(f"...F{n}" for n in range(20))
    + "} } "
    + " ".join(f"fragment F{n} on Transaction {{ {COMPOSITES} }}" for n in range(20)),
    "the same beside a long text": '{ node(id: "'
    + "\\n" * 22_000
    + '") { id } transaction(id: "a") {'
    + COMPOSITES * 20
    + "} }",
    "240 fragments that nobody spreads": "{ __typename }"
    + "".join(f"fragment F{n} on User {{ id }}" for n in range(240)),
    "640 unknown input fields": "{ transactions(filter: {"
    + " ".join(f"a{n}: 1" for n in range(640))
    + "}) { totalCount } }",
    "1,900 ids": "{ nodes(ids: [" + '"aaaaaaaaaaaaaaaaaaaa" ' * 1_900 + "]) { id } }",
    "390 unknown types": "query (" + " ".join(f"$v{n}: X{n}" for n in range(390)) + ") { __typename }",
    "900 unknown fields after 4,900 lines": "\n" * 4_900 + "{ me {" + " ".join(f"x{n}" for n in range(900)) + "} }",
    "a mistake after 95,000 lines": "\n" * 95_000 + "{ x }",
    "49,000 comments": "#\n" * 49_000 + "{ __typename }",
    "a text of 49,000 characters": '{ node(id: "' + "\\u0041" * 8_000 + '") { id } }',
    "a name of 49,000 characters": "{" + "a" * 49_000 + "}",
}


def main() -> None:
    documents = Documents(schema._schema, DocumentLimits())  # noqa: SLF001  as the API does
    for name, source in DOCUMENTS.items():
        times = []
        for _ in range(3):
            begun = time.process_time()
            try:
                documents.read(source)
                ended = "read"
            except (BadInput, InvalidDocument) as error:
                ended = type(error).__name__
            times.append((time.process_time() - begun) * 1000)
        print(f"{min(times):6.1f} ms  {ended:15} {name} ({len(source):,} characters)")


if __name__ == "__main__":
    main()
