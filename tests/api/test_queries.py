"""Reading: nodes, users, transactions with their filters, and who may see what."""

from datetime import timedelta
from uuid import UUID

import pytest

from domain.currencies import Currency
from domain.ids import IdKind, encode
from domain.money import Money
from domain.payments.transaction import TransactionStatus
from tests.api.application import Florin, Person, usd
from tests.api.stored import global_id, store
from tests.support.clock import START

NODE = """query Look($id: ID!) { node(id: $id) { __typename id
  ... on Transaction { processor } ... on Refund { reason } ... on User { name } ... on AuditEntry { action } } }"""
LIST = """query List($filter: TransactionFilter, $orderBy: TransactionOrder) {
  transactions(filter: $filter, orderBy: $orderBy, first: 100) { totalCount nodes { id } } }"""
EVERYTHING = """query Everything($id: ID!) { transaction(id: $id) { id
  refunds { nodes { id } } auditLog { nodes { id } } } }"""


async def listed(who: Person, **filters: object) -> list[str]:
    found = (await who.ask(LIST, {"filter": filters}))["transactions"]
    nodes = [node["id"] for node in found["nodes"]]
    assert found["totalCount"] == len(nodes)
    return nodes


async def test_me(ada: Person) -> None:
    me = (await ada.ask("{ me { id email name role createdAt } }"))["me"]
    assert me.pop("createdAt").endswith("Z")
    assert me == {"id": ada.id, "email": "ada@example.com", "name": "Ada", "role": "CUSTOMER"}


async def test_every_kind_of_node_can_be_fetched_again(ada: Person) -> None:
    taken = await ada.paid()
    refund = (await ada.refund(taken["id"], money=usd(100)))["refund"]
    entry = (await ada.ask(EVERYTHING, {"id": taken["id"]}))["transaction"]["auditLog"]["nodes"][0]
    expected = {
        taken["id"]: ("txn_", {"__typename": "Transaction", "id": taken["id"], "processor": "stripe"}),
        refund["id"]: ("re_", {"__typename": "Refund", "id": refund["id"], "reason": None}),
        entry["id"]: ("aud_", {"__typename": "AuditEntry", "id": entry["id"], "action": "transaction.created"}),
        ada.id: ("usr_", {"__typename": "User", "id": ada.id, "name": "Ada"}),
    }
    for node_id, (prefix, node) in expected.items():
        assert node_id.startswith(prefix)
        assert (await ada.ask(NODE, {"id": node_id}))["node"] == node
    several = [*expected, "txn_nonsense", encode(IdKind.TRANSACTION, UUID(int=7)), taken["id"]]
    nodes = (await ada.ask("query ($ids: [ID!]!) { nodes(ids: $ids) { id } }", {"ids": several}))["nodes"]
    assert nodes == [*({"id": node_id} for node_id in expected), None, None, {"id": taken["id"]}]


async def test_at_most_a_hundred_nodes_at_once(ada: Person) -> None:
    document = "query ($ids: [ID!]!) { nodes(ids: $ids) { id } }"
    assert (await ada.ask(document, {"ids": [ada.id] * 100}))["nodes"] == [{"id": ada.id}] * 100
    assert (await ada.refused(document, {"ids": [ada.id] * 101}))["extensions"]["code"] == "BAD_INPUT"


@pytest.mark.parametrize(
    "text", ["", "txn_", "txn_" + "g" * 32, "TXN_" + "0" * 32, "txn_" + "0" * 31, "\x00", "att_" + "0" * 32, "ä" * 5000]
)
async def test_an_id_that_is_none_is_nothing(ada: Person, text: str) -> None:
    document = "query ($id: ID!) { node(id: $id) { id } transaction(id: $id) { id } user(id: $id) { id } }"
    assert await ada.ask(document, {"id": text}) == {"node": None, "transaction": None, "user": None}


async def test_an_id_of_another_kind_is_nothing(ada: Person) -> None:
    taken = await ada.paid()
    data = await ada.ask(
        "query ($user: ID!, $payment: ID!) { transaction(id: $user) { id } user(id: $payment) { id } }",
        {"user": ada.id, "payment": taken["id"]},
    )
    assert data == {"transaction": None, "user": None}


async def test_customers_see_their_own_and_staff_see_all(florin: Florin, ada: Person, alan: Person) -> None:
    taken = await ada.paid()
    await ada.refund(taken["id"], money=usd(100))
    everything = (await ada.ask(EVERYTHING, {"id": taken["id"]}))["transaction"]
    hidden = [taken["id"], *(node["id"] for kind in ("refunds", "auditLog") for node in everything[kind]["nodes"])]
    assert len(hidden) == 7
    for node_id in [*hidden, ada.id]:
        assert (await alan.ask(NODE, {"id": node_id}))["node"] is None
        for staff in (florin.grace, florin.margaret):
            assert (await staff.ask(NODE, {"id": node_id}))["node"]["id"] == node_id
    assert (await alan.ask("query ($id: ID!) { user(id: $id) { id } }", {"id": ada.id}))["user"] is None
    assert await listed(alan) == []
    assert await listed(alan, userId=ada.id) == []
    assert await listed(ada, userId=ada.id) == [taken["id"]]
    for staff in (florin.grace, florin.margaret):
        assert await listed(staff, userId=ada.id) == [taken["id"]]
        assert await listed(staff, userId=alan.id) == []
        assert await listed(staff) == [taken["id"]]


async def test_a_customer_does_not_see_who_of_the_staff_acted(ada: Person, grace: Person) -> None:
    taken = await ada.paid()
    await grace.refund(taken["id"])
    requested = (await ada.audit(taken["id"]))[2]
    assert requested["action"] == "refund.requested"
    assert (requested["actorKind"], requested["actor"]) == ("USER", None)
    assert (await grace.audit(taken["id"]))[2]["actor"] == {"id": grace.id}


async def test_nothing_is_for_the_anonymous(florin: Florin) -> None:
    for field in (
        "me { id }",
        'node(id: "txn_1") { id }',
        'nodes(ids: ["txn_1"]) { id }',
        'transaction(id: "txn_1") { id }',
        "transactions { totalCount }",
        'user(id: "usr_1") { id }',
    ):
        error = await florin.anonymous.refused(f"{{ {field} }}")
        assert error["extensions"]["code"] == "UNAUTHENTICATED"
        assert error["extensions"]["retryable"] is False


async def test_no_mutation_is_for_the_anonymous(florin: Florin, ada: Person) -> None:
    taken = await ada.paid()
    before = await florin.traces()
    money = '{currency: USD, amount: "10.00"}'
    for call in (
        f'createPayment(input: {{idempotencyKey: "k", paymentMethodId: "pm_card_visa", money: {money}}})',
        f'refund(input: {{idempotencyKey: "k", transactionId: "{taken["id"]}"}})',
        f'capture(input: {{idempotencyKey: "k", transactionId: "{taken["id"]}"}})',
        f'void(input: {{idempotencyKey: "k", transactionId: "{taken["id"]}"}})',
    ):
        error = await florin.anonymous.refused(f"mutation {{ {call} {{ replayed }} }}")
        assert error["extensions"]["code"] == "UNAUTHENTICATED"
    assert await florin.traces() == before


async def test_filters(florin: Florin, ada: Person, alan: Person, grace: Person) -> None:
    day = timedelta(days=1)
    small = await store(florin, ada, money=Money(100, Currency.USD), at=START, description="Red apples")
    large = await store(
        florin, ada, money=Money(5000, Currency.USD), at=START + day, status=TransactionStatus.COMPLETED,
        description="Green pears", reference="pi_pears",
    )  # fmt: skip
    yen = await store(florin, alan, money=Money(100, Currency.JPY), at=START + 2 * day, status=TransactionStatus.FAILED)
    dinar = await store(florin, alan, money=Money(1000, Currency.KWD), at=START + 3 * day)
    found = {
        global_id(record): name for record, name in ((small, "small"), (large, "large"), (yen, "yen"), (dinar, "dinar"))
    }

    async def names(**filters: object) -> list[str]:
        return [found[node] for node in await listed(grace, **filters)]

    assert await names() == ["dinar", "yen", "large", "small"]
    assert await names(status=["COMPLETED", "FAILED"]) == ["yen", "large"]
    assert await names(status=[]) == []
    assert await names(currency=["USD"]) == ["large", "small"]
    assert await names(userId=alan.id) == ["dinar", "yen"]
    assert await names(userId=global_id(small)) == []
    assert await names(createdFrom="2026-11-21T12:00:00Z") == ["dinar", "yen", "large"]
    assert await names(createdFrom="2026-11-21T13:00:00+01:00", createdTo="2026-11-22T12:00:00Z") == ["large"]
    # Major units: a dollar is 100 cents, a yen is one, a dinar is 1000 fils.
    assert await names(minAmount="1", maxAmount="1") == ["dinar", "small"]
    assert await names(minAmount="1.001") == ["yen", "large"]
    assert await names(minAmount="-999999999999999", maxAmount="999999999999999") == list(reversed(found.values()))
    assert await names(text="apple") == ["small"]
    assert await names(text="PEARS green") == ["large"]
    assert await names(text="pi_pears") == ["large"]
    assert await names(text="red pears") == []
    assert await names(text="  ") == await names()
    assert await names(text="%") == []
    assert await names(text="' | 'x") == []
    assert await names(text="Red apples", currency=["USD"], status=["PENDING"], maxAmount="1.00") == ["small"]
    assert [found[node] for node in await listed(ada, text="e")] == []
    assert [found[node] for node in await listed(ada, minAmount="1")] == ["large", "small"]


@pytest.mark.parametrize(
    "moment", ["2026-11-21", "2026-11-21T12:00:00", "yesterday", "2026-02-30T00:00:00Z", "2026-11-21T25:00:00Z", 5, ""]
)
async def test_a_moment_needs_a_date_a_time_and_an_offset(ada: Person, moment: object) -> None:
    error = await ada.refused(LIST, {"filter": {"createdFrom": moment}})
    assert error["extensions"]["code"] == "BAD_INPUT"
    assert "DateTime" in error["message"]


@pytest.mark.parametrize(
    "moment", ["0001-01-01T00:00:00Z", "9999-12-31T23:59:59Z", "0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-12:00"]
)
async def test_the_ends_of_the_calendar_are_no_fault_of_ours(ada: Person, moment: str) -> None:
    answer = (await ada.send(LIST, {"filter": {"createdFrom": moment, "createdTo": moment}})).json()
    assert {error["extensions"]["code"] for error in answer.get("errors", ())} <= {"BAD_INPUT"}


@pytest.mark.parametrize(
    ("field", "direction", "expected"),
    [
        ("CREATED_AT", "DESC", ["c", "b", "a"]),
        ("CREATED_AT", "ASC", ["a", "b", "c"]),
        ("AMOUNT", "DESC", ["a", "c", "b"]),
        ("AMOUNT", "ASC", ["b", "c", "a"]),
    ],
)
async def test_orders(florin: Florin, ada: Person, field: str, direction: str, expected: list[str]) -> None:
    names = {}
    for name, day, amount in (("a", 0, 300), ("b", 1, 100), ("c", 2, 200)):
        at = START + timedelta(days=day)
        names[global_id(await store(florin, ada, money=Money(amount, Currency.USD), at=at))] = name
    data = await ada.ask(LIST, {"orderBy": {"field": field, "direction": direction}})
    assert [names[node["id"]] for node in data["transactions"]["nodes"]] == expected


@pytest.mark.parametrize(
    ("locale", "text"),
    [
        ("en_US", "$1,234.50"),
        ("en-GB", "US$1,234.50"),
        ("de_DE", "1.234,50\xa0$"),
        ("xx_YY", "$1,234.50"),
        ("\x00", "$1,234.50"),
        ("", "$1,234.50"),
        ("en_US" * 5000, "$1,234.50"),
        ("../../etc/passwd", "$1,234.50"),
    ],
)
async def test_money_is_written_as_people_write_it(florin: Florin, ada: Person, locale: str, text: str) -> None:
    record = await store(florin, ada, money=Money(123_450, Currency.USD))
    document = "query ($id: ID!, $locale: String!) { transaction(id: $id) { money { formatted(locale: $locale) } } }"
    data = await ada.ask(document, {"id": global_id(record), "locale": locale})
    assert data["transaction"]["money"]["formatted"] == text


async def test_a_users_transactions(florin: Florin, ada: Person, alan: Person, grace: Person) -> None:
    taken = await ada.paid()
    document = "query ($id: ID!) { user(id: $id) { name transactions { totalCount nodes { id user { name } } } } }"
    for who in (ada, grace):
        data = await who.ask(document, {"id": ada.id})
        assert data["user"]["transactions"] == {
            "totalCount": 1,
            "nodes": [{"id": taken["id"], "user": {"name": "Ada"}}],
        }
    assert (await alan.ask("{ me { transactions { totalCount nodes { id } } } }"))["me"]["transactions"] == {
        "totalCount": 0,
        "nodes": [],
    }
