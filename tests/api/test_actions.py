"""What can be done, told before anybody tries: to each person what is true for them, and nothing is changed by asking."""

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from tests.api.application import Florin, Json, Person, running, usd
from tests.support.statements import counted

ACTIONS = """query Actions($id: ID!) {
  transaction(id: $id) { actions { kind allowed reason maxMoney { amountMinor currency } } }
}"""
PREVIEW = """query Preview($input: PreviewRefundInput!) {
  previewRefund(input: $input) {
    preview {
      money { amountMinor currency } refundableAfter { amountMinor } feeKept { amountMinor } statusAfter
      postings { kind lines { account { kind } debit { amountMinor } credit { amountMinor } } }
    }
    errors { __typename code message path ... on RefundExceedsRemainingError { maxRefundable { amountMinor } } }
  }
}"""


async def actions(person: Person, transaction_id: str) -> dict[str, Json]:
    found = (await person.ask(ACTIONS, {"id": transaction_id}))["transaction"]["actions"]
    return {action["kind"]: action for action in found}


async def preview(person: Person, transaction_id: str, **changes: object) -> Json:
    answer: Json = (await person.ask(PREVIEW, {"input": {"transactionId": transaction_id, **changes}}))["previewRefund"]
    return answer


async def test_a_completed_payment_can_be_refunded_and_nothing_else(florin: Florin) -> None:
    paid = await florin.ada.paid()
    await florin.ada.refund(paid["id"], money=usd(300))
    for person in (florin.ada, florin.grace, florin.margaret):
        found = await actions(person, paid["id"])
        assert found["REFUND"] == {
            "kind": "REFUND",
            "allowed": True,
            "reason": None,
            "maxMoney": {"amountMinor": "700", "currency": "USD"},
        }
        assert not found["CAPTURE"]["allowed"]
        assert not found["VOID"]["allowed"]
        assert found["CAPTURE"]["maxMoney"] is None
    assert found["CAPTURE"]["reason"] == "The transaction is PARTIALLY_REFUNDED."


async def test_an_authorization_is_the_staffs_to_decide(florin: Florin) -> None:
    held = (await florin.ada.pay(captureMethod="MANUAL"))["transaction"]
    for_staff, for_payer = await actions(florin.grace, held["id"]), await actions(florin.ada, held["id"])
    assert [for_staff[kind]["allowed"] for kind in ("CAPTURE", "VOID", "REFUND")] == [True, True, False]
    assert for_staff["CAPTURE"]["maxMoney"]["amountMinor"] == "1000"
    assert for_staff["VOID"]["maxMoney"] is None
    assert not any(action["allowed"] for action in for_payer.values())
    assert for_payer["CAPTURE"]["reason"] == "This takes the capability payments:capture, which you do not have."


async def test_a_setting_takes_refunds_from_customers(engine: AsyncEngine) -> None:
    async with running(engine, customers_may_refund=False) as florin:
        paid = await florin.ada.paid()
        refused = (await actions(florin.ada, paid["id"]))["REFUND"]
        assert (refused["allowed"], refused["reason"]) == (False, "Customers may not refund here; ask the support.")
        assert (await actions(florin.grace, paid["id"]))["REFUND"]["allowed"]
        error = await florin.ada.refused(PREVIEW, {"input": {"transactionId": paid["id"]}})
        assert error["extensions"]["code"] == "FORBIDDEN"


async def test_the_actions_of_a_page_take_one_statement(florin: Florin) -> None:
    for number in range(4):
        await florin.ada.paid(f"key-{number}")
    for first in (1, 4):
        with counted(florin.parts.engine) as statements:
            data = await florin.grace.ask(
                "query ($first: Int!) { transactions(first: $first) { nodes { actions { allowed } } } }",
                {"first": first},
            )
        assert len(data["transactions"]["nodes"]) == first
        # Who asks, the page, and the captures and voids that are on their way.
        assert len(statements) == 3, "\n".join(statements)


async def test_a_preview_tells_what_the_refund_then_does(florin: Florin) -> None:
    paid = await florin.ada.paid()
    before = await florin.traces()
    answer = await preview(florin.grace, paid["id"], money=usd(400))
    assert answer["errors"] == []
    shown = answer["preview"]
    assert shown["money"] == {"amountMinor": "400", "currency": "USD"}
    assert (shown["refundableAfter"]["amountMinor"], shown["feeKept"]["amountMinor"]) == ("600", "59")
    assert shown["statusAfter"] == "PARTIALLY_REFUNDED"
    assert [
        (posting["kind"], [(line["account"]["kind"], line["debit"], line["credit"]) for line in posting["lines"]])
        for posting in shown["postings"]
    ] == [
        ("REFUND", [("CUSTOMER", {"amountMinor": "400"}, None), ("PROCESSOR_BALANCE", None, {"amountMinor": "400"})]),
        ("REFUND_SETTLED", [("REFUNDS", {"amountMinor": "400"}, None), ("CUSTOMER", None, {"amountMinor": "400"})]),
    ]
    # It changed nothing, here or at the processor.
    assert await florin.traces() == before
    done = await florin.ada.refund(paid["id"], money=usd(400))
    assert (done["transaction"]["status"], done["transaction"]["refundableMoney"]) == (
        shown["statusAfter"],
        {"amountMinor": "600"},
    )


async def test_a_customer_previews_without_the_ledger(florin: Florin) -> None:
    paid = await florin.ada.paid()
    shown = (await preview(florin.ada, paid["id"]))["preview"]
    assert (shown["money"]["amountMinor"], shown["statusAfter"]) == ("1000", "REFUNDED")
    assert shown["postings"] is None


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"money": usd(1001)}, "REFUND_EXCEEDS_REMAINING"),
        ({"money": {"currency": "EUR", "amountMinor": 100}}, "INVALID_CURRENCY"),
        ({"money": usd(0)}, "INVALID_AMOUNT"),
        ({"money": {"currency": "USD"}}, "INVALID_AMOUNT"),
    ],
)
async def test_a_preview_refuses_as_the_mutation_does(florin: Florin, changes: Json, code: str) -> None:
    paid = await florin.ada.paid()
    previewed = await preview(florin.ada, paid["id"], **changes)
    refused = await florin.ada.refund(paid["id"], **changes)
    assert previewed["preview"] is None
    assert [error["code"] for error in previewed["errors"]] == [code]
    for key in ("__typename", "code", "message", "path"):
        assert previewed["errors"][0][key] == refused["errors"][0][key]
    assert await florin.given_back() == []


async def test_nobody_previews_what_is_not_theirs(florin: Florin) -> None:
    paid = await florin.ada.paid()
    for wanted in (paid["id"], florin.ada.id, "txn_nonsense"):
        answer = await preview(florin.alan, wanted)
        assert [error["code"] for error in answer["errors"]] == ["NOT_FOUND"]
        assert answer["preview"] is None
    error = await florin.anonymous.refused(PREVIEW, {"input": {"transactionId": paid["id"]}})
    assert error["extensions"]["code"] == "UNAUTHENTICATED"
