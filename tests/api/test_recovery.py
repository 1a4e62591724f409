"""Recovery as clients see it: what is undecided, what needs a person, and what a person decides."""

import re
from collections.abc import Mapping
from typing import Any

from sqlalchemy.ext.asyncio import AsyncEngine

from domain.ids import AttemptId, IdKind, TransactionId, decode_as, encode
from domain.payments.attempt import AttemptKind
from domain.payments.refund import RefundStatus
from domain.payments.transaction import Transaction, TransactionStatus
from tests.api.application import Florin, Person
from tests.api.stored import global_id, store
from tests.support.database import rows
from tests.support.records import attempt, refund
from tests.support.statements import asked, counted

RECOVERY = "recovery { state attempts lastCheckedAt nextCheckAt reason attempt { id } }"
ONE = f"query ($id: ID!) {{ transaction(id: $id) {{ {RECOVERY} }} }}"
LIST = "query ($filter: TransactionFilter) { transactions(filter: $filter) { totalCount nodes { id } } }"
ATTEMPTS = """query ($filter: AttemptFilter) {
  attempts(filter: $filter) {
    totalCount nodes { id kind state attempts reason unknownSince transaction { id } refund { id } }
  }
}"""
RESOLVE = """mutation ($input: ResolveAttemptInput!) {
  resolveAttempt(input: $input) {
    transaction { id status refundableMoney { amountMinor } } attempt { id state } replayed
    errors { code message path retryable }
  }
}"""
NO_ANSWER = "the processor did not answer"


def _transaction_id(text: str) -> TransactionId:
    value = decode_as(IdKind.TRANSACTION, text)
    assert value is not None
    return TransactionId(value)


async def open_attempt(
    florin: Florin, payer: Person, columns: Mapping[str, str], *, kind: AttemptKind = AttemptKind.CHARGE
) -> tuple[Transaction, str]:
    """A transaction with an attempt that is not done, and the attempt's id. `columns` are SQL expressions."""
    refunding = kind is AttemptKind.REFUND
    status = TransactionStatus.COMPLETED if refunding else TransactionStatus.PENDING
    number = len(await rows(florin.parts.engine, "SELECT 1 FROM transactions"))
    record = await store(florin, payer, status=status, reference=f"pi_{number}")
    new = florin.parts.ids.new
    async with florin.parts.units.begin() as uow:
        given = refund(new(), record, minor_units=400, status=RefundStatus.PENDING)
        if refunding:
            assert await uow.transactions.reserve_refund(record.id, 400)
            await uow.refunds.add(given)
        begun = attempt(new(), record.id, kind, refund_id=given.id if refunding else None)
        await uow.attempts.add(begun)
    changes = {"lease_until": "NULL", **columns}
    text = ", ".join(f"{name} = {value}" for name, value in changes.items())
    await rows(florin.parts.engine, f"UPDATE attempts SET {text} WHERE id = :id RETURNING 1", id=begun.id)  # noqa: S608  the test's own
    return record, encode(IdKind.ATTEMPT, AttemptId(begun.id))


async def one_of_each(florin: Florin, payer: Person) -> dict[str, Transaction]:
    """A transaction for each state of recovery, by its name."""
    ago = "clock_timestamp() - interval '{}'"
    unknown = {"reason": f"'{NO_ANSWER}'"}
    made = {
        "IN_PROGRESS": {"lease_until": "clock_timestamp() + interval '1 hour'"},
        "WAITING": {"unknown_since": ago.format("14 minutes"), **unknown},
        "UNRESOLVED": {"unknown_since": ago.format("16 minutes"), **unknown},
        "MANUAL": {"state": "'MANUAL'", **unknown},
        "PARKED": {"state": "'PARKED'", **unknown},
        "OVERDUE": {"next_check_at": ago.format("16 minutes"), **unknown},
    }
    return {state: (await open_attempt(florin, payer, columns))[0] for state, columns in made.items()}


async def test_what_is_done_about_a_transaction_is_shown(florin: Florin, ada: Person, grace: Person) -> None:
    for state, record in (await one_of_each(florin, ada)).items():
        shown = (await grace.ask(ONE, {"id": global_id(record)}))["transaction"]["recovery"]
        assert shown["state"] == ("UNRESOLVED" if state == "OVERDUE" else state)
        assert shown["attempts"] == 1
        assert shown["lastCheckedAt"] is not None
        assert (shown["nextCheckAt"] is None) is (state in {"IN_PROGRESS", "MANUAL", "PARKED"})
        assert shown["reason"] == (None if state == "IN_PROGRESS" else NO_ANSWER)
        assert shown["attempt"]["id"].startswith("att_")


async def test_owners_see_where_it_stands_and_not_why(florin: Florin, ada: Person, alan: Person) -> None:
    record = (await one_of_each(florin, ada))["MANUAL"]
    shown = (await ada.ask(ONE, {"id": global_id(record)}))["transaction"]["recovery"]
    assert (shown["state"], shown["reason"], shown["attempt"]) == ("MANUAL", None, None)
    assert (await alan.ask(ONE, {"id": global_id(record)}))["transaction"] is None


async def test_nothing_is_shown_where_nothing_is_open(florin: Florin, ada: Person) -> None:
    taken = await ada.paid()
    assert (await ada.ask(ONE, {"id": taken["id"]}))["transaction"]["recovery"] is None


async def test_of_several_attempts_the_gravest_is_shown(florin: Florin, ada: Person) -> None:
    record, _ = await open_attempt(florin, ada, {"state": "'MANUAL'"}, kind=AttemptKind.REFUND)
    async with florin.parts.units.begin() as uow:
        other = refund(florin.parts.ids.new(), record)
        await uow.refunds.add(other)
        begun = attempt(florin.parts.ids.new(), record.id, AttemptKind.REFUND, refund_id=other.id)
        await uow.attempts.add(begun)
    assert (await ada.ask(ONE, {"id": global_id(record)}))["transaction"]["recovery"]["state"] == "MANUAL"


async def test_a_page_of_recoveries_takes_one_statement(florin: Florin, ada: Person, grace: Person) -> None:
    for _ in range(3):
        await one_of_each(florin, ada)
    for first in (1, 5, 18):
        with counted(florin.parts.engine) as statements:
            data = await grace.ask(f"{{ transactions(first: {first}) {{ nodes {{ id {RECOVERY} }} }} }}")
        assert all(node["recovery"] for node in data["transactions"]["nodes"])
        # Who asks, the page, and its recoveries.
        assert len(statements) == 3, "\n".join(statements)
    with counted(florin.parts.engine) as statements:
        await grace.ask("{ attempts(first: 18) { nodes { id transaction { id } refund { id } } } }")
    assert len(statements) == 3, "\n".join(statements)


async def test_what_needs_attention_is_found(florin: Florin, ada: Person, alan: Person, grace: Person) -> None:
    made = await one_of_each(florin, ada)
    await ada.paid()
    needing = {global_id(made[state]) for state in ("UNRESOLVED", "MANUAL", "PARKED", "OVERDUE")}
    for who in (ada, grace):
        found = (await who.ask(LIST, {"filter": {"needsAttention": True}}))["transactions"]
        assert {node["id"] for node in found["nodes"]} == needing
        assert found["totalCount"] == 4
    found = (await grace.ask(LIST, {"filter": {"needsAttention": False}}))["transactions"]
    assert found["totalCount"] == 3
    assert (await alan.ask(LIST, {"filter": {"needsAttention": True}}))["transactions"]["nodes"] == []


async def test_staff_find_attempts_by_what_they_need(florin: Florin, ada: Person, grace: Person) -> None:
    made = await one_of_each(florin, ada)
    record, refund_attempt = await open_attempt(florin, ada, {"state": "'MANUAL'"}, kind=AttemptKind.REFUND)
    await ada.paid()

    async def find(**filter_: object) -> list[Any]:  # Any: JSON
        return list((await grace.ask(ATTEMPTS, {"filter": filter_}))["attempts"]["nodes"])

    assert len(await find()) == 7
    assert len(await find(needsAttention=True)) == 5
    assert {node["transaction"]["id"] for node in await find(state=["UNRESOLVED", "PARKED"])} == {
        global_id(made[state]) for state in ("UNRESOLVED", "OVERDUE", "PARKED")
    }
    [found] = await find(kind=["REFUND"], transactionId=global_id(record))
    assert (found["id"], found["state"], found["refund"]["id"][:3]) == (refund_attempt, "MANUAL", "re_")
    assert await find(transactionId="txn_unknown") == []
    [node] = (await grace.ask("query ($ids: [ID!]!) { nodes(ids: $ids) { id } }", {"ids": [refund_attempt]}))["nodes"]
    assert node == {"id": refund_attempt}


async def test_customers_see_no_attempts(florin: Florin, ada: Person) -> None:
    _, attempt_id = await open_attempt(florin, ada, {"state": "'MANUAL'"})
    assert (await ada.refused(ATTEMPTS))["extensions"]["code"] == "FORBIDDEN"
    assert (await ada.ask("query ($id: ID!) { node(id: $id) { id } }", {"id": attempt_id}))["node"] is None


async def resolve(who: Person, attempt_id: str, **changes: object) -> Any:  # Any: JSON
    wanted = {"idempotencyKey": "r1", "attemptId": attempt_id, "reason": "Their support told me.", **changes}
    return (await who.ask(RESOLVE, {"input": wanted}))["resolveAttempt"]


async def test_an_administrator_decides(florin: Florin, ada: Person, grace: Person) -> None:
    margaret = florin.margaret
    taken = await ada.paid()
    new = florin.parts.ids.new
    async with florin.parts.units.begin() as uow:
        paid = await uow.transactions.get(_transaction_id(taken["id"]))
        assert paid is not None
        given = refund(new(), paid, minor_units=400)
        assert await uow.transactions.reserve_refund(paid.id, 400)
        await uow.refunds.add(given)
        begun = attempt(new(), paid.id, AttemptKind.REFUND, refund_id=given.id)
        await uow.attempts.add(begun)
        await uow.attempts.mark_manual(begun, "The processor lists no such refund.")
    attempt_id = encode(IdKind.ATTEMPT, begun.id)
    before = await florin.traces()
    for who in (ada, grace):
        error = await who.refused(
            RESOLVE,
            {
                "input": {
                    "idempotencyKey": "k",
                    "attemptId": attempt_id,
                    "resolution": "MARK_NOT_REFUNDED",
                    "reason": "x",
                }
            },
        )
        assert error["extensions"]["code"] == "FORBIDDEN"
    empty = await resolve(margaret, attempt_id, resolution="MARK_NOT_REFUNDED", reason=" ")
    assert [(error["code"], error["path"]) for error in empty["errors"]] == [("INVALID_TEXT", ["input", "reason"])]
    assert (empty["transaction"], empty["attempt"]) == (None, None)
    assert await florin.traces() == before
    done = await resolve(margaret, attempt_id, resolution="MARK_NOT_REFUNDED")
    assert done["errors"] == []
    assert done["attempt"] == {"id": attempt_id, "state": "DONE"}
    assert done["transaction"]["refundableMoney"] == {"amountMinor": "1000"}
    again = await resolve(margaret, attempt_id, resolution="MARK_NOT_REFUNDED")
    assert (again["replayed"], again["transaction"]) == (True, done["transaction"])
    late = await resolve(margaret, attempt_id, resolution="LOOK_UP_AGAIN", idempotencyKey="r2")
    assert [error["code"] for error in late["errors"]] == ["NOT_RESOLVABLE"]


async def test_a_decision_that_the_processor_contradicts_is_refused(florin: Florin, ada: Person) -> None:
    taken = await ada.paid()
    given = await ada.refund(taken["id"], money={"currency": "USD", "amountMinor": 400})
    # As if the answer had been lost: the sandbox has the refund, and our books do not.
    await rows(florin.parts.engine, "UPDATE attempts SET state = 'MANUAL' WHERE kind = 'REFUND' RETURNING 1")
    ((attempt_id,),) = await rows(florin.parts.engine, "SELECT id FROM attempts WHERE kind = 'REFUND'")
    encoded = encode(IdKind.ATTEMPT, attempt_id)  # type: ignore[arg-type]  # the driver gives a UUID
    before = await florin.traces()
    refused = await resolve(florin.margaret, encoded, resolution="MARK_NOT_REFUNDED")
    assert [error["code"] for error in refused["errors"]] == ["RESOLUTION_CONTRADICTED"]
    assert given["refund"]["processorReference"] in refused["errors"][0]["message"]
    assert await florin.traces() == before
    looked = await resolve(florin.margaret, encoded, resolution="LOOK_UP_AGAIN")
    assert (looked["errors"], looked["attempt"]["state"]) == ([], "DONE")


async def test_what_colleagues_say_is_not_shown_to_the_payer(florin: Florin, ada: Person, grace: Person) -> None:
    taken = await ada.paid()
    await rows(florin.parts.engine, "UPDATE attempts SET state = 'MANUAL' RETURNING 1")
    ((attempt_id,),) = await rows(florin.parts.engine, "SELECT id FROM attempts")
    encoded = encode(IdKind.ATTEMPT, attempt_id)  # type: ignore[arg-type]  # the driver gives a UUID
    await resolve(florin.margaret, encoded, resolution="LOOK_UP_AGAIN")
    for who, reason in ((grace, "Their support told me."), (ada, None)):
        [entry] = [entry for entry in await who.audit(taken["id"]) if entry["action"] == "attempt.resolved"]
        assert entry["details"].get("reason") == reason
        assert entry["details"]["resolution"] == "LOOK_UP_AGAIN"


async def test_looking_for_what_needs_attention_reads_little_of_the_tables(
    florin: Florin, engine: AsyncEngine, ada: Person, grace: Person
) -> None:
    await one_of_each(florin, ada)
    await rows(engine, _MANY_TRANSACTIONS, payer=ada.user.id)
    await rows(engine, _MANY_ATTEMPTS)
    async with engine.connect() as connection:
        await connection.exec_driver_sql("ANALYZE")
        await connection.commit()
    with asked(engine) as statements:
        await grace.ask(LIST, {"filter": {"needsAttention": True}})
        await grace.ask(ATTEMPTS, {"filter": {"needsAttention": True}})
    looked = [(statement, parameters) for statement, parameters in statements if "needing_attention" in statement]
    assert len(looked) == 4
    for statement, parameters in looked:
        async with engine.connect() as connection:
            plan = await connection.exec_driver_sql(f"EXPLAIN {statement}", tuple(parameters))
            lines = [str(line) for (line,) in plan]
        # Of a table with a few rows, such as the refunds here, PostgreSQL may well look at all.
        whole = [line for line in lines if re.search(r"Seq Scan on (transactions|attempts)\b", line)]
        assert whole == [], "\n".join(lines)


_MANY_TRANSACTIONS = """
INSERT INTO transactions (id, user_id, status, amount, currency, captured, refunded, refund_reserved, disputed, capture_method,
    payment_method_id, metadata, processor, version, created_at, updated_at)
SELECT gen_random_uuid(), :payer, 'PENDING', 1000, 'USD', 0, 0, 0, 0, 'AUTOMATIC', 'pm_card_visa', '{}', 'stripe', 1,
    now() - n * interval '1 minute', now() FROM generate_series(1, 20000) AS n RETURNING 1
"""
_MANY_ATTEMPTS = """
INSERT INTO attempts (id, kind, transaction_id, step, state, tries, unreported_claims, first_sent_at, next_check_at,
    last_checked_at)
SELECT gen_random_uuid(), 'CHARGE', t.id, 'CONFIRM', 'DONE', 1, 0, t.created_at, t.created_at, t.created_at
FROM transactions t WHERE NOT EXISTS (SELECT 1 FROM attempts a WHERE a.transaction_id = t.id) RETURNING 1
"""
