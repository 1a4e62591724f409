"""The ledger in GraphQL: for staff alone, to the cent, and in as many statements as the query is deep."""

from datetime import datetime, timedelta

import pytest

from tests.api.application import Florin, Json, Person, delivering, usd
from tests.support.statements import counted

LINES = "lines { account { kind currency } debit { amountMinor } credit { amountMinor } }"
JOURNAL = f"""query Journal($filter: JournalEntryFilter, $asOf: DateTime, $first: Int, $after: String) {{
  journalEntries(filter: $filter, asOf: $asOf, first: $first, after: $after) {{
    totalCount pageInfo {{ hasNextPage endCursor }}
    nodes {{ id kind source postedAt transaction {{ id }} refund {{ id }} dispute {{ id }} {LINES} }}
  }}
}}"""
OF_TRANSACTION = f"""query OfTransaction($id: ID!) {{
  transaction(id: $id) {{
    disputedMoney {{ amountMinor }}
    disputes {{ totalCount nodes {{ id status reason money {{ amountMinor }} withdrawnMoney {{ amountMinor }}
      processorStatus transaction {{ id }} }} }}
    journalEntries {{ totalCount nodes {{ id kind {LINES} }} }}
  }}
}}"""
ACCOUNTS = """query Accounts($filter: LedgerAccountFilter, $asOf: DateTime) {
  ledgerAccounts(filter: $filter) {
    totalCount
    nodes { id kind currency user { id } balance(asOf: $asOf) { amountMinor } debits { amountMinor } credits { amountMinor } }
  }
}"""
TRIAL = """query Trial($asOf: DateTime) {
  trialBalance(asOf: $asOf) {
    currencies { currency debits { amountMinor } credits { amountMinor } balance { amountMinor }
      lines { kind debits { amountMinor } credits { amountMinor } balance { amountMinor } } }
  }
}"""
ROOTS = [
    "{ ledgerAccounts { nodes { id } } }",
    "{ journalEntries { nodes { id } } }",
    "{ trialBalance { currencies { currency } } }",
]


def sides(entry: Json) -> list[tuple[str, int]]:
    """An entry's lines as account kind and signed minor units."""
    return [
        (
            line["account"]["kind"],
            int(line["debit"]["amountMinor"] if line["debit"] else "-" + line["credit"]["amountMinor"]),
        )
        for line in entry["lines"]
    ]


def balances(trial: Json) -> dict[str, int]:
    return {
        f"{line['kind']} {part['currency']}": int(line["balance"]["amountMinor"])
        for part in trial["trialBalance"]["currencies"]
        for line in part["lines"]
    }


@pytest.fixture(params=["grace", "margaret"])
def staff(request: pytest.FixtureRequest, florin: Florin) -> Person:
    person: Person = getattr(florin, request.param)
    return person


async def test_a_payment_and_its_refund_are_in_the_journal(florin: Florin, staff: Person) -> None:
    paid = await florin.ada.paid()
    refund = (await florin.ada.refund(paid["id"], money=usd(400)))["refund"]
    journal = (await staff.ask(JOURNAL, {"filter": {"transactionId": paid["id"]}}))["journalEntries"]
    assert [entry["kind"] for entry in journal["nodes"]] == ["REFUND_SETTLED", "REFUND", "PROCESSOR_FEE", "CHARGE"]
    settled, sent, fee, charge = journal["nodes"]
    assert sides(charge) == [("CUSTOMER", 1000), ("REVENUE", -1000), ("PROCESSOR_BALANCE", 1000), ("CUSTOMER", -1000)]
    assert sides(fee) == [("PROCESSOR_FEES", 59), ("PROCESSOR_BALANCE", -59)]
    assert sides(sent) == [("CUSTOMER", 400), ("PROCESSOR_BALANCE", -400)]
    assert sides(settled) == [("REFUNDS", 400), ("CUSTOMER", -400)]
    assert (charge["source"], sent["source"]) == (paid["processorReference"], refund["processorReference"])
    assert {entry["transaction"]["id"] for entry in journal["nodes"]} == {paid["id"]}
    assert [entry["refund"] for entry in journal["nodes"]] == [{"id": refund["id"]}] * 2 + [None] * 2
    assert journal["totalCount"] == 4
    own = (await staff.ask(OF_TRANSACTION, {"id": paid["id"]}))["transaction"]["journalEntries"]
    assert [entry["id"] for entry in own["nodes"]] == [entry["id"] for entry in reversed(journal["nodes"])]
    assert own["totalCount"] == 4


async def test_the_trial_balance_is_what_the_processor_holds(florin: Florin, staff: Person) -> None:
    await florin.ada.paid()
    await florin.alan.paid(money={"currency": "EUR", "amount": "20.00"})
    trial = await staff.ask(TRIAL)
    for part in trial["trialBalance"]["currencies"]:
        assert part["balance"]["amountMinor"] == "0"
        assert part["debits"] == part["credits"]
    held = balances(trial)
    assert held == {
        "CUSTOMER EUR": 0,
        "PROCESSOR_BALANCE EUR": 2000 - 88,
        "PROCESSOR_FEES EUR": 88,
        "REVENUE EUR": -2000,
        "CUSTOMER USD": 0,
        "PROCESSOR_BALANCE USD": 1000 - 59,
        "PROCESSOR_FEES USD": 59,
        "REVENUE USD": -1000,
    }
    theirs = await florin.sandbox.get("/v1/balance_transactions", {"limit": 100})
    for currency in ("eur", "usd"):
        net = sum(entry["net"] for entry in theirs["data"] if entry["currency"] == currency)
        assert held[f"PROCESSOR_BALANCE {currency.upper()}"] == net


async def test_time_can_be_asked_about(florin: Florin, staff: Person) -> None:
    await florin.ada.paid("first")
    [latest] = (await staff.ask(JOURNAL, {"first": 1}))["journalEntries"]["nodes"]
    between = latest["postedAt"]
    await florin.ada.paid("second")
    assert balances(await staff.ask(TRIAL, {"asOf": between}))["REVENUE USD"] == -1000
    assert balances(await staff.ask(TRIAL))["REVENUE USD"] == -2000
    before = (datetime.fromisoformat(between) - timedelta(days=1)).isoformat()
    assert (await staff.ask(TRIAL, {"asOf": before}))["trialBalance"]["currencies"] == []
    accounts = (await staff.ask(ACCOUNTS, {"filter": {"kind": ["REVENUE"]}, "asOf": between}))["ledgerAccounts"][
        "nodes"
    ]
    assert [(account["balance"]["amountMinor"], account["credits"]["amountMinor"]) for account in accounts] == [
        ("-1000", "2000")
    ]
    journal = (await staff.ask(JOURNAL, {"asOf": between}))["journalEntries"]
    assert journal["totalCount"] == 2
    since = (await staff.ask(JOURNAL, {"filter": {"from": between}}))["journalEntries"]
    until = (await staff.ask(JOURNAL, {"filter": {"to": between}}))["journalEntries"]
    assert since["totalCount"] + until["totalCount"] == 4


async def test_the_journal_is_read_page_by_page_and_by_account(florin: Florin) -> None:
    for number in range(3):
        await florin.ada.paid(f"ada-{number}")
    await florin.alan.paid("alan")
    [customer] = (await florin.grace.ask(ACCOUNTS, {"filter": {"userId": florin.ada.id}}))["ledgerAccounts"]["nodes"]
    assert (customer["kind"], customer["user"]) == ("CUSTOMER", {"id": florin.ada.id})
    seen: list[str] = []
    cursor = None
    while True:
        asked = {"filter": {"accountId": customer["id"]}, "first": 2, "after": cursor}
        page = (await florin.grace.ask(JOURNAL, asked))["journalEntries"]
        seen += [entry["id"] for entry in page["nodes"]]
        if not page["pageInfo"]["hasNextPage"]:
            break
        cursor = page["pageInfo"]["endCursor"]
    assert len(seen) == len(set(seen)) == 3
    assert page["totalCount"] == 3
    nothing = (await florin.grace.ask(JOURNAL, {"filter": {"accountId": florin.ada.id}}))["journalEntries"]
    assert nothing["nodes"] == []


async def test_objects_of_the_ledger_are_nodes(florin: Florin) -> None:
    await florin.ada.paid()
    [entry] = (await florin.grace.ask(JOURNAL, {"first": 1}))["journalEntries"]["nodes"]
    account = (await florin.grace.ask(ACCOUNTS))["ledgerAccounts"]["nodes"][0]
    ask = "query ($ids: [ID!]!) { nodes(ids: $ids) { __typename id } }"
    wanted = {"ids": [entry["id"], account["id"]]}
    assert [node["id"] for node in (await florin.grace.ask(ask, wanted))["nodes"]] == wanted["ids"]
    assert (await florin.ada.ask(ask, wanted))["nodes"] == [None, None]
    assert entry["id"].startswith("je_")
    assert account["id"].startswith("acct_")


@pytest.mark.parametrize("query", ROOTS)
async def test_a_customer_is_refused_the_ledger(florin: Florin, query: str) -> None:
    await florin.ada.paid()
    assert (await florin.ada.refused(query))["extensions"]["code"] == "FORBIDDEN"
    assert (await florin.anonymous.refused(query))["extensions"]["code"] == "UNAUTHENTICATED"


async def test_a_customers_own_transaction_shows_its_disputes_and_no_journal(florin: Florin) -> None:
    async with delivering(florin) as webhooks:
        paid = await florin.ada.paid(paymentMethodId="pm_card_createDispute")
        await florin.sandbox.pass_time(60)
        await webhooks.apply()
        found = (await florin.ada.ask(OF_TRANSACTION, {"id": paid["id"]}))["transaction"]
        assert found["journalEntries"] is None
        assert found["disputedMoney"]["amountMinor"] == "1000"
        [dispute] = found["disputes"]["nodes"]
        assert (dispute["status"], dispute["reason"], dispute["processorStatus"]) == (
            "NEEDS_RESPONSE",
            "fraudulent",
            "needs_response",
        )
        assert dispute["money"] == dispute["withdrawnMoney"] == {"amountMinor": "1000"}
        assert dispute["transaction"] == {"id": paid["id"]}
        ask = "query ($id: ID!) { node(id: $id) { id } }"
        assert (await florin.alan.ask(ask, {"id": dispute["id"]}))["node"] is None
        assert (await florin.ada.ask(ask, {"id": dispute["id"]}))["node"] == {"id": dispute["id"]}
        refused = await florin.ada.refund(paid["id"])
        assert [error["code"] for error in refused["errors"]] == ["NOT_REFUNDABLE"]
        assert await florin.given_back() == []
        journal = (await florin.grace.ask(JOURNAL, {"filter": {"transactionId": paid["id"]}}))["journalEntries"][
            "nodes"
        ]
        assert {entry["kind"] for entry in journal if entry["dispute"]} == {"DISPUTE", "DISPUTE_FEE"}
        trial = balances(await florin.grace.ask(TRIAL))
        theirs = await florin.sandbox.get("/v1/balance_transactions", {"limit": 100})
        assert trial["PROCESSOR_BALANCE USD"] == sum(entry["net"] for entry in theirs["data"])


async def test_journals_and_disputes_of_a_page_take_two_statements(florin: Florin) -> None:
    for number in range(4):
        await florin.ada.paid(f"key-{number}")
    query = f"""query ($first: Int!) {{
      transactions(first: $first) {{ nodes {{
        journalEntries {{ nodes {{ kind transaction {{ id }} {LINES} }} }} disputes {{ nodes {{ id }} }}
      }} }}
    }}"""
    for first in (1, 4):
        with counted(florin.parts.engine) as statements:
            data = await florin.grace.ask(query, {"first": first})
        assert [len(node["journalEntries"]["nodes"]) for node in data["transactions"]["nodes"]] == [2] * first
        # Who asks, the page, its journal and its disputes, and the transactions that the entries name.
        assert len(statements) == 5, "\n".join(statements)


async def test_a_hundred_balances_take_one_statement(florin: Florin) -> None:
    await florin.ada.paid()
    await florin.alan.paid()
    with counted(florin.parts.engine) as statements:
        await florin.grace.ask("{ ledgerAccounts { nodes { balance { amount } debits { amount } user { id } } } }")
    # Who asks, the accounts, their totals, their users.
    assert len(statements) == 4, "\n".join(statements)
