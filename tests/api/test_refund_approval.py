"""Refunds that wait for a second person, as clients see them."""

from collections.abc import AsyncIterator

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from domain.currencies import Currency
from tests.api.application import Florin, Json, Person, running, usd
from tests.support.statements import counted

_REFUND = "id status money { amountMinor } requestedBy { email } decidedBy { email } decidedAt"
_ERRORS = "errors { code path retryable }"
APPROVE = f"""mutation Approve($input: ApproveRefundInput!) {{
  approveRefund(input: $input) {{ replayed refund {{ {_REFUND} }} transaction {{ status }} {_ERRORS} }}
}}"""
REJECT = f"""mutation Reject($input: RejectRefundInput!) {{
  rejectRefund(input: $input) {{
    replayed refund {{ {_REFUND} }} transaction {{ status refundableMoney {{ amountMinor }} }} {_ERRORS}
  }}
}}"""
WAITING = f"""query Waiting($filter: RefundFilter, $first: Int, $after: String) {{
  refunds(filter: $filter, first: $first, after: $after) {{
    totalCount nodes {{ {_REFUND} transaction {{ id }} }} pageInfo {{ hasNextPage endCursor }}
  }}
}}"""
PREVIEW = """query Preview($input: PreviewRefundInput!) {
  previewRefund(input: $input) { preview { needsApproval } }
}"""
ACTIONS = "query ($id: ID!) { transaction(id: $id) { actions { kind maxMoney { amountMinor } maxMoneyAtOnce { amountMinor } } } }"


@pytest.fixture
async def florin(engine: AsyncEngine) -> AsyncIterator[Florin]:
    async with running(engine, refund_approval_above={Currency.USD: 500}) as application:
        yield application


async def waiting(florin: Florin, key: str = "key-1") -> tuple[str, str]:
    """The ids of a payment and of a refund of it that waits."""
    paid = await florin.ada.paid(key)
    payload = await florin.grace.refund(paid["id"], f"refund-{key}", money=usd(600))
    assert (payload["errors"], payload["refund"]["status"]) == ([], "PENDING_APPROVAL")
    return paid["id"], payload["refund"]["id"]


async def approve(who: Person, refund_id: str, key: str = "approve-1") -> Json:
    payload: Json = (await who.ask(APPROVE, {"input": {"idempotencyKey": key, "refundId": refund_id}}))["approveRefund"]
    return payload


async def reject(who: Person, refund_id: str, key: str = "reject-1", reason: str = "The parcel has arrived.") -> Json:
    wanted = {"idempotencyKey": key, "refundId": refund_id, "reason": reason}
    payload: Json = (await who.ask(REJECT, {"input": wanted}))["rejectRefund"]
    return payload


async def listed(who: Person, **wanted: object) -> Json:
    found: Json = (await who.ask(WAITING, {"filter": wanted}))["refunds"]
    return found


async def test_a_large_refund_by_the_support_is_made_once_an_administrator_approves(florin: Florin) -> None:
    paid, refund = await waiting(florin)
    assert await florin.given_back() == []
    seen = await florin.ada.transaction(paid)
    assert (seen["status"], seen["refundedMoney"]["amountMinor"], seen["refundableMoney"]["amountMinor"]) == (
        "COMPLETED",
        "0",
        "400",
    )
    payload = await approve(florin.margaret, refund)
    assert (payload["errors"], payload["replayed"], payload["transaction"]) == (
        [],
        False,
        {"status": "PARTIALLY_REFUNDED"},
    )
    assert payload["refund"]["status"] == "COMPLETED"
    assert payload["refund"]["requestedBy"] == {"email": "grace@example.com"}
    assert payload["refund"]["decidedBy"] == {"email": "margaret@example.com"}
    assert payload["refund"]["decidedAt"] is not None
    assert await florin.given_back() == [600]
    assert (await approve(florin.margaret, refund))["replayed"]
    assert await florin.given_back() == [600]


async def test_a_rejected_refund_can_be_asked_for_anew(florin: Florin) -> None:
    paid, refund = await waiting(florin)
    payload = await reject(florin.margaret, refund)
    assert (payload["errors"], payload["refund"]["status"]) == ([], "REJECTED")
    assert payload["transaction"] == {"status": "COMPLETED", "refundableMoney": {"amountMinor": "1000"}}
    told = await florin.grace.refund(paid, "refund-key-1", money=usd(600))
    assert [error["code"] for error in told["errors"]] == ["REFUND_REJECTED"]
    assert (await florin.grace.refund(paid, "another", money=usd(300)))["refund"]["status"] == "COMPLETED"
    assert await florin.given_back() == [300]


async def test_the_reason_is_for_colleagues(florin: Florin) -> None:
    paid, refund = await waiting(florin)
    await reject(florin.margaret, refund)
    for who, expected in ((florin.grace, "The parcel has arrived."), (florin.ada, None)):
        (entry,) = [entry for entry in await who.audit(paid) if entry["action"] == "refund.rejected"]
        assert entry["details"].get("reason") == expected
        assert entry["details"]["amountMinor"] == "600"


async def test_the_payer_does_not_see_who_decided(florin: Florin) -> None:
    _, refund = await waiting(florin)
    await approve(florin.margaret, refund)
    (seen,) = (await listed(florin.ada))["nodes"]
    assert (seen["id"], seen["requestedBy"], seen["decidedBy"]) == (refund, None, None)


async def test_what_waits_is_listed(florin: Florin) -> None:
    found = [await waiting(florin, f"key-{number}") for number in range(3)]
    await approve(florin.margaret, found[0][1])
    for who in (florin.grace, florin.margaret):
        shown = await listed(who, needsApproval=True)
        assert [node["id"] for node in shown["nodes"]] == [found[2][1], found[1][1]]
        assert shown["totalCount"] == 2
    assert [node["id"] for node in (await listed(florin.grace, status=["COMPLETED"]))["nodes"]] == [found[0][1]]
    assert [node["id"] for node in (await listed(florin.grace, needsApproval=False))["nodes"]] == [found[0][1]]
    assert [node["id"] for node in (await listed(florin.grace, transactionId=found[1][0]))["nodes"]] == [found[1][1]]
    assert (await listed(florin.grace, transactionId=florin.ada.id))["totalCount"] == 0
    assert (await listed(florin.alan))["totalCount"] == 0
    first = (await florin.grace.ask(WAITING, {"first": 2}))["refunds"]
    rest = (await florin.grace.ask(WAITING, {"first": 2, "after": first["pageInfo"]["endCursor"]}))["refunds"]
    assert [node["id"] for page in (first, rest) for node in page["nodes"]] == [id_ for _, id_ in reversed(found)]


async def test_a_list_costs_the_same_whatever_its_length(florin: Florin) -> None:
    found = []
    for number in range(3):
        await waiting(florin, f"key-{number}")
        with counted(florin.parts.engine) as statements:
            await listed(florin.margaret)
        found.append(len(statements))
    # Who asks, the page, its number, the transactions, and the people.
    assert found == [5, 5, 5]


async def test_nobody_decides_twice_or_about_their_own(florin: Florin) -> None:
    paid = await florin.margaret.paid()
    own = (await florin.grace.refund(paid["id"], money=usd(600)))["refund"]["id"]
    before = await florin.traces()
    for act in (approve, reject):
        payload = await act(florin.margaret, own)
        assert payload["refund"] is None
        assert payload["errors"] == [
            {"code": "SECOND_PERSON_NEEDED", "path": ["input", "refundId"], "retryable": False}
        ]
    assert await florin.traces() == before
    _, refund = await waiting(florin)
    await approve(florin.margaret, refund)
    before = await florin.traces()
    assert [error["code"] for error in (await approve(florin.margaret, refund, "two"))["errors"]] == ["NOT_APPROVABLE"]
    assert [error["code"] for error in (await reject(florin.margaret, refund))["errors"]] == ["NOT_APPROVABLE"]
    assert await florin.traces() == before


async def test_only_administrators_decide(florin: Florin) -> None:
    _, refund = await waiting(florin)
    before = await florin.traces()
    for who in (florin.ada, florin.grace):
        wanted = {"idempotencyKey": "k", "refundId": refund}
        assert (await who.refused(APPROVE, {"input": wanted}))["extensions"]["code"] == "FORBIDDEN"
        wanted["reason"] = "no"
        assert (await who.refused(REJECT, {"input": wanted}))["extensions"]["code"] == "FORBIDDEN"
    assert await florin.traces() == before


async def test_previews_and_actions_tell_of_the_wait(florin: Florin) -> None:
    paid = (await florin.ada.paid())["id"]
    for who, money, expected in (
        (florin.grace, 500, False),
        (florin.grace, 501, True),
        (florin.ada, 1000, False),
        (florin.margaret, 1000, False),
    ):
        shown = await who.ask(PREVIEW, {"input": {"transactionId": paid, "money": usd(money)}})
        assert shown["previewRefund"]["preview"] == {"needsApproval": expected}
    await florin.grace.refund(paid, money=usd(200))
    for who, at_once in ((florin.grace, {"amountMinor": "300"}), (florin.ada, None), (florin.margaret, None)):
        actions = (await who.ask(ACTIONS, {"id": paid}))["transaction"]["actions"]
        assert {action["kind"]: action["maxMoneyAtOnce"] for action in actions} == {
            "CAPTURE": None,
            "VOID": None,
            "REFUND": at_once,
        }
