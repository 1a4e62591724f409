"""Discrepancies in GraphQL: for administrators alone, by pages, and with a way to settle one."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from uuid import UUID

import pytest

from domain import ids
from domain.access import Role
from domain.currencies import Currency
from domain.ids import DiscrepancyId, IdKind, TransactionId
from domain.money import Money
from domain.reconciliation.discrepancies import Difference, DiscrepancyKind, Resolution, Subject, SubjectKind
from tests.api.application import Florin, Json, Person
from tests.support.clock import START
from tests.support.database import rows
from tests.support.statements import counted

DISCREPANCIES = """query Found($first: Int, $after: String, $last: Int, $before: String, $filter: DiscrepancyFilter) {
  discrepancies(first: $first, after: $after, last: $last, before: $before, filter: $filter) {
    totalCount
    nodes {
      id kind summary processorMoney { amountMinor currency } ourMoney { amountMinor currency } processorReference
      transaction { id } firstSeenAt lastSeenAt resolvedAt resolution resolvedBy { email } reason
    }
    pageInfo { hasNextPage hasPreviousPage startCursor endCursor }
  }
}"""
RESOLVE = """mutation Resolve($input: ResolveDiscrepancyInput!) {
  resolveDiscrepancy(input: $input) {
    replayed
    discrepancy { id resolution resolvedAt reason resolvedBy { email } }
    errors { code path retryable }
  }
}"""


@pytest.fixture
def margaret(florin: Florin) -> Person:
    """An administrator."""
    return florin.margaret


async def record(
    florin: Florin,
    reference: str = "pi_1",
    *,
    kind: DiscrepancyKind = DiscrepancyKind.AMOUNT_DIFFERS,
    transaction: str | None = None,
    seen_at: datetime = START,
) -> str:
    """Store a discrepancy; its public id."""
    value = None if transaction is None else ids.decode_as(IdKind.TRANSACTION, transaction)
    difference = Difference(
        kind=kind,
        subject=Subject(SubjectKind.CHARGE, reference),
        transaction_id=None if value is None else TransactionId(value),
        processor=Money(990, Currency.USD),
        ours=Money(1000, Currency.USD),
        summary="The processor's balance received 9.90 USD, ours 10.00 USD.",
    )
    async with florin.parts.units.begin() as uow:
        new_id = DiscrepancyId(florin.parts.ids.new())
        return ids.encode(IdKind.DISCREPANCY, await uow.discrepancies.record(new_id, difference, seen_at))


async def listed(who: Person, **arguments: object) -> Json:
    found: Json = (await who.ask(DISCREPANCIES, arguments))["discrepancies"]
    return found


async def resolve(who: Person, discrepancy_id: str, key: str = "settle-1", reason: str = "The bank kept it.") -> Json:
    wanted = {"discrepancyId": discrepancy_id, "idempotencyKey": key, "reason": reason}
    payload: Json = (await who.ask(RESOLVE, {"input": wanted}))["resolveDiscrepancy"]
    return payload


async def audited(florin: Florin) -> list[tuple[object, ...]]:
    return await rows(
        florin.parts.engine,
        "SELECT actor_kind, actor_id, transaction_id, details FROM audit_entries WHERE action LIKE 'discrepancy%'",
    )


async def test_a_discrepancy_is_shown_with_both_sides(florin: Florin, ada: Person, margaret: Person) -> None:
    paid = await ada.paid()
    recorded = await record(florin, paid["processorReference"], transaction=paid["id"])
    [node] = (await listed(margaret))["nodes"]
    assert node == {
        "id": recorded,
        "kind": "AMOUNT_DIFFERS",
        "summary": "The processor's balance received 9.90 USD, ours 10.00 USD.",
        "processorMoney": {"amountMinor": "990", "currency": "USD"},
        "ourMoney": {"amountMinor": "1000", "currency": "USD"},
        "processorReference": paid["processorReference"],
        "transaction": {"id": paid["id"]},
        "firstSeenAt": "2026-11-20T12:00:00.000000Z",
        "lastSeenAt": "2026-11-20T12:00:00.000000Z",
        "resolvedAt": None,
        "resolution": None,
        "resolvedBy": None,
        "reason": None,
    }
    found = await margaret.ask("query ($id: ID!) { node(id: $id) { id __typename } }", {"id": recorded})
    assert found["node"] == {"id": recorded, "__typename": "Discrepancy"}


async def test_our_own_ids_are_no_references_of_the_processor(florin: Florin, ada: Person, margaret: Person) -> None:
    paid = await ada.paid()
    await record(florin, paid["id"], transaction=paid["id"])
    [node] = (await listed(margaret))["nodes"]
    assert node["processorReference"] is None


FILTERS: Mapping[str, tuple[dict[str, object], list[int]]] = {
    "none": ({}, [4, 3, 2, 1]),
    "kind": ({"kind": ["FEE_DIFFERS"]}, [2]),
    "kinds": ({"kind": ["FEE_DIFFERS", "AMOUNT_DIFFERS"]}, [4, 3, 2, 1]),
    "no kind": ({"kind": []}, []),
    "open": ({"resolved": False}, [4, 2, 1]),
    "resolved": ({"resolved": True}, [3]),
    "no such transaction": ({"transactionId": "txn_" + "0" * 32}, []),
    "no id of ours": ({"transactionId": "pi_1"}, []),
    "from": ({"firstSeenFrom": "2026-11-20T12:00:03Z"}, [4, 3]),
    "to": ({"firstSeenTo": "2026-11-20T12:00:03Z"}, [2, 1]),
    "all": (
        {
            "kind": ["AMOUNT_DIFFERS"],
            "resolved": False,
            "firstSeenFrom": "2026-11-20T12:00:01Z",
            "firstSeenTo": "2026-11-20T12:00:04Z",
        },
        [1],
    ),
}


@pytest.fixture
async def four(florin: Florin) -> list[str]:
    """Discrepancies first seen at four seconds in a row; the third is resolved."""
    made = []
    for number in range(1, 5):
        kind = DiscrepancyKind.FEE_DIFFERS if number == 2 else DiscrepancyKind.AMOUNT_DIFFERS
        made.append(await record(florin, f"pi_{number}", kind=kind, seen_at=START + timedelta(seconds=number)))
    async with florin.parts.units.begin() as uow:
        third = Subject(SubjectKind.CHARGE, "pi_3")
        assert await uow.discrepancies.resolve_others(third, (), Resolution.NO_LONGER_SEEN, START) == 1
    return made


@pytest.mark.parametrize(("wanted", "expected"), FILTERS.values(), ids=FILTERS.keys())
async def test_each_filter_lets_through_what_it_says(
    margaret: Person, four: list[str], wanted: dict[str, object], expected: list[int]
) -> None:
    page = await listed(margaret, filter=wanted)
    assert [node["id"] for node in page["nodes"]] == [four[number - 1] for number in expected]
    assert page["totalCount"] == len(expected)


async def test_a_transactions_discrepancies_can_be_listed(florin: Florin, ada: Person, margaret: Person) -> None:
    paid, other = await ada.paid("key-1"), await ada.paid("key-2")
    recorded = await record(florin, "pi_1", transaction=paid["id"])
    await record(florin, "pi_2", transaction=other["id"])
    page = await listed(margaret, filter={"transactionId": paid["id"]})
    assert [node["id"] for node in page["nodes"]] == [recorded]


async def test_pages_make_up_the_whole_list_from_both_ends(florin: Florin, margaret: Person) -> None:
    # All at the same moment, so that the ids alone put them in order.
    for number in range(7):
        await record(florin, f"pi_{number}")
    whole = [node["id"] for node in (await listed(margaret))["nodes"]]
    forwards: list[str] = []
    after, more = None, True
    while more:
        page = await listed(margaret, first=3, after=after)
        forwards += [node["id"] for node in page["nodes"]]
        after, more = page["pageInfo"]["endCursor"], page["pageInfo"]["hasNextPage"]
    backwards: list[str] = []
    before, more = None, True
    while more:
        page = await listed(margaret, last=3, before=before)
        backwards = [node["id"] for node in page["nodes"]] + backwards
        before, more = page["pageInfo"]["startCursor"], page["pageInfo"]["hasPreviousPage"]
    assert forwards == backwards == whole
    assert len(set(whole)) == 7


async def test_a_page_costs_the_same_statements_whatever_its_size(
    florin: Florin, ada: Person, margaret: Person
) -> None:
    for number in range(10):
        paid = await ada.paid(f"key-{number}")
        recorded = await record(florin, paid["processorReference"], transaction=paid["id"])
        await resolve(margaret, recorded, key=f"settle-{number}")
    for first in (1, 10):
        with counted(florin.parts.engine) as statements:
            nodes = (await listed(margaret, first=first))["nodes"]
        assert len({node["transaction"]["id"] for node in nodes}) == first
        # Who asks, the page, its transactions, who resolved them, and how many there are.
        assert len(statements) == 5, "\n".join(statements)
    with counted(florin.parts.engine) as statements:
        await margaret.ask("query ($ids: [ID!]!) { nodes(ids: $ids) { id } }", {"ids": [node["id"] for node in nodes]})
    assert len(statements) == 2


@pytest.mark.parametrize("role", ["ada", "grace"])
async def test_only_administrators_see_and_resolve_them(florin: Florin, margaret: Person, role: str) -> None:
    recorded = await record(florin)
    who: Person = getattr(florin, role)
    assert (await who.refused(DISCREPANCIES))["extensions"]["code"] == "FORBIDDEN"
    wanted = {"discrepancyId": recorded, "idempotencyKey": "settle-1", "reason": "I say so."}
    assert (await who.refused(RESOLVE, {"input": wanted}))["extensions"]["code"] == "FORBIDDEN"
    found = await who.ask("query ($id: ID!) { node(id: $id) { id } nodes(ids: [$id]) { id } }", {"id": recorded})
    assert found == {"node": None, "nodes": [None]}
    [node] = (await listed(margaret))["nodes"]
    assert node["resolvedAt"] is None
    assert await audited(florin) == []
    assert {person.role for person in (florin.ada.user, florin.grace.user)} == {Role.CUSTOMER, Role.SUPPORT}


async def test_a_stranger_is_told_nothing(florin: Florin) -> None:
    await record(florin)
    for document, variables in (
        (DISCREPANCIES, {}),
        (RESOLVE, {"input": {"discrepancyId": "dsc_1", "idempotencyKey": "k", "reason": "r"}}),
    ):
        error = await florin.anonymous.refused(document, variables)
        assert error["extensions"]["code"] == "UNAUTHENTICATED"


async def test_an_administrator_settles_one_and_the_audit_log_says_so(
    florin: Florin, ada: Person, margaret: Person
) -> None:
    paid = await ada.paid()
    recorded = await record(florin, paid["processorReference"], transaction=paid["id"])
    payload = await resolve(margaret, recorded)
    resolved = payload["discrepancy"]
    assert (payload["errors"], payload["replayed"]) == ([], False)
    assert resolved == {
        "id": recorded,
        "resolution": "BY_PERSON",
        "resolvedAt": resolved["resolvedAt"],
        "reason": "The bank kept it.",
        "resolvedBy": {"email": margaret.user.email},
    }
    details = {
        "discrepancyId": recorded,
        "kind": "AMOUNT_DIFFERS",
        "processorReference": paid["processorReference"],
        "summary": "The processor's balance received 9.90 USD, ours 10.00 USD.",
        "reason": "The bank kept it.",
    }
    transaction_id = ids.decode_as(IdKind.TRANSACTION, paid["id"])
    assert await audited(florin) == [("USER", margaret.user.id, transaction_id, details)]
    # It moves no money.
    assert (await ada.transaction(paid["id"]))["capturedMoney"] == paid["capturedMoney"]


async def test_one_without_a_transaction_is_audited_too(florin: Florin, margaret: Person) -> None:
    await resolve(margaret, await record(florin))
    [(_, _, transaction_id, _)] = await audited(florin)
    assert transaction_id is None


async def test_the_same_key_settles_it_once(florin: Florin, margaret: Person) -> None:
    recorded = await record(florin)
    first, second = await resolve(margaret, recorded), await resolve(margaret, recorded)
    assert (first["replayed"], second["replayed"]) == (False, True)
    assert first["discrepancy"] == second["discrepancy"]
    assert len(await audited(florin)) == 1
    other = await resolve(margaret, recorded, reason="Something else.")
    assert [error["code"] for error in other["errors"]] == ["IDEMPOTENCY_KEY_REUSED"]


async def test_what_is_resolved_is_not_resolved_again(florin: Florin, margaret: Person) -> None:
    recorded = await record(florin)
    await resolve(margaret, recorded)
    again = await resolve(margaret, recorded, key="settle-2", reason="Another reason.")
    assert again["errors"] == [{"code": "ALREADY_RESOLVED", "path": ["input", "discrepancyId"], "retryable": False}]
    [node] = (await listed(margaret))["nodes"]
    assert node["reason"] == "The bank kept it."
    assert len(await audited(florin)) == 1


REFUSED: Mapping[str, tuple[dict[str, str], str, list[str]]] = {
    "no such one": ({"discrepancyId": "dsc_" + "0" * 32}, "NOT_FOUND", ["input", "discrepancyId"]),
    "no id of ours": ({"discrepancyId": "pi_1"}, "NOT_FOUND", ["input", "discrepancyId"]),
    "another kind of id": ({"discrepancyId": "txn_" + "0" * 32}, "NOT_FOUND", ["input", "discrepancyId"]),
    "no reason": ({"reason": "  "}, "INVALID_TEXT", ["input", "reason"]),
    "too long a reason": ({"reason": "x" * 501}, "INVALID_TEXT", ["input", "reason"]),
    "a card number for a reason": ({"reason": "4242424242424242"}, "CARD_NUMBER_REFUSED", ["input", "reason"]),
    "no key": ({"idempotencyKey": ""}, "INVALID_IDEMPOTENCY_KEY", ["input", "idempotencyKey"]),
}


@pytest.mark.parametrize(("change", "code", "path"), REFUSED.values(), ids=REFUSED.keys())
async def test_what_cannot_be_is_refused_and_changes_nothing(
    florin: Florin, margaret: Person, change: dict[str, str], code: str, path: list[str]
) -> None:
    recorded = await record(florin)
    wanted = {"discrepancyId": recorded, "idempotencyKey": "settle-1", "reason": "It is settled."} | change
    payload = (await margaret.ask(RESOLVE, {"input": wanted}))["resolveDiscrepancy"]
    assert [(error["code"], error["path"]) for error in payload["errors"]] == [(code, path)]
    assert payload["discrepancy"] is None
    [node] = (await listed(margaret))["nodes"]
    assert node["resolvedAt"] is None
    assert await audited(florin) == []
    # The key was not used up.
    assert (await resolve(margaret, recorded))["replayed"] is False
    assert UUID(hex=recorded.removeprefix("dsc_")).version == 7
