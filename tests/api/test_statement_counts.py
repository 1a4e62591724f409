"""How many SQL statements a query costs: a number that its depth decides, and never the number of rows."""

from tests.api.application import Florin
from tests.api.stored import store_many
from tests.support.statements import counted, round_trips

DEEP = """query Deep($first: Int!) {
  transactions(first: $first) {
    nodes {
      id user { name }
      auditLog(first: 5) { nodes { action actor { name } } }
      refunds(first: 5) { nodes { id transaction { id } } }
    }
  }
}"""
WITH_COUNTS = """query WithCounts($first: Int!) {
  transactions(first: $first) {
    totalCount
    nodes {
      user { transactions(first: 2) { totalCount nodes { id } } }
      auditLog(first: 1) { totalCount } refunds(first: 1) { totalCount }
    }
  }
}"""


async def test_a_page_with_everything_around_it_takes_six_statements(florin: Florin) -> None:
    await store_many(florin, [florin.ada, florin.alan], 50)
    for first in (1, 10, 50):
        with counted(florin.parts.engine) as statements:
            data = await florin.margaret.ask(DEEP, {"first": first})
        nodes = data["transactions"]["nodes"]
        assert len(nodes) == first
        assert all(len(node["auditLog"]["nodes"]) == len(node["refunds"]["nodes"]) == 5 for node in nodes)
        actors = {entry["actor"]["name"] for node in nodes for entry in node["auditLog"]["nodes"]}
        assert actors == {"Ada", "Alan", "Grace", "Margaret"}
        # Who asks, the page, its users, its audit entries, its refunds, and the actors that are none of its users.
        assert len(statements) == 6, "\n".join(statements)


async def test_counts_are_batched_too(florin: Florin) -> None:
    await store_many(florin, [florin.ada, florin.alan], 50)
    for first in (1, 10, 50):
        with counted(florin.parts.engine) as statements:
            data = await florin.margaret.ask(WITH_COUNTS, {"first": first})
        assert data["transactions"]["totalCount"] == 50
        node = data["transactions"]["nodes"][0]
        assert (node["auditLog"]["totalCount"], node["refunds"]["totalCount"]) == (7, 6)
        assert node["user"]["transactions"]["totalCount"] == 25
        # As above without the actors, the users' pages, and four counts.
        assert len(statements) == 10, "\n".join(statements)


async def test_a_list_that_does_not_ask_for_its_size_is_not_counted(florin: Florin) -> None:
    with counted(florin.parts.engine) as statements:
        await florin.ada.ask("{ transactions { nodes { id } } }")
    assert len(statements) == 2
    assert not any("count(" in statement for statement in statements)


async def test_a_hundred_nodes_take_one_statement_for_each_kind(florin: Florin) -> None:
    await store_many(florin, [florin.ada], 50)
    document = "query ($ids: [ID!]!) { nodes(ids: $ids) { id } }"
    listed = (await florin.ada.ask("{ transactions(first: 50) { nodes { id } } }"))["transactions"]["nodes"]
    ids = [node["id"] for node in listed] + [florin.ada.id] * 50
    with counted(florin.parts.engine) as statements:
        nodes = (await florin.ada.ask(document, {"ids": ids}))["nodes"]
    assert [node["id"] for node in nodes] == ids
    assert len(statements) == 3


# What each of them is for stands in docs/scaling.md.
ROUND_TRIPS_OF_A_PAYMENT = [
    "SELECT sessions",
    "SELECT idempotency_keys",
    "WITH claimed AS (INSERT INTO idempotency_keys",
    "WITH unrecorded AS (SELECT transactions",
    "BEGIN",
    "SELECT transactions",
    "WITH accounts AS ( INSERT INTO ledger_accounts",
    "WITH saved AS (UPDATE transactions",
    "UPDATE attempts",
    "COMMIT",
]


async def test_a_payment_takes_ten_round_trips_to_the_database(florin: Florin) -> None:
    await florin.ada.paid("another")
    with round_trips(florin.parts.engine) as sent:
        await florin.ada.paid("one")
    told = [" ".join(statement.split()) for statement in sent]
    assert len(told) == len(ROUND_TRIPS_OF_A_PAYMENT), told
    for statement, beginning in zip(told, ROUND_TRIPS_OF_A_PAYMENT, strict=True):
        assert statement.startswith(beginning), told


async def test_a_payment_that_comes_again_takes_three(florin: Florin) -> None:
    await florin.ada.paid("one")
    with round_trips(florin.parts.engine) as sent:
        again = await florin.ada.pay("one")
    assert again["replayed"]
    assert len(sent) == 3, sent
