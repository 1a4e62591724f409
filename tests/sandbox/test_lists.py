"""Paging, filters and expansion."""

import pytest

from tests.sandbox.driver import Driver


async def test_pages_in_both_directions_lose_nothing(sandbox: Driver) -> None:
    ids = [(await sandbox.unconfirmed())["id"] for _ in range(7)]
    newest_first = ids[::-1]

    forward: list[str] = []
    page = await sandbox.get("/v1/payment_intents", {"limit": 3})
    assert page["url"] == "/v1/payment_intents"
    for more in (True, True, False):
        assert page["has_more"] is more
        forward += [each["id"] for each in page["data"]]
        page = await sandbox.get("/v1/payment_intents", {"limit": 3, "starting_after": forward[-1]})
    assert (forward, page["data"]) == (newest_first, [])

    back = await sandbox.get("/v1/payment_intents", {"limit": 3, "ending_before": newest_first[-1]})
    assert ([each["id"] for each in back["data"]], back["has_more"]) == (newest_first[3:6], True)
    back = await sandbox.get("/v1/payment_intents", {"limit": 3, "ending_before": newest_first[2]})
    assert ([each["id"] for each in back["data"]], back["has_more"]) == (newest_first[:2], False)


async def test_the_default_page_holds_ten(sandbox: Driver) -> None:
    for _ in range(11):
        await sandbox.unconfirmed()
    page = await sandbox.get("/v1/payment_intents")
    assert (len(page["data"]), page["has_more"]) == (10, True)


@pytest.mark.parametrize(
    ("params", "param"),
    [
        ({"limit": 0}, "limit"),
        ({"limit": 101}, "limit"),
        ({"limit": "ten"}, "limit"),
        ({"starting_after": "pi_none"}, "starting_after"),
        ({"starting_after": "pi_1", "ending_before": "pi_2"}, "starting_after"),
        ({"created[after]": 1}, "created[after]"),
        ({"page": 2}, "page"),
    ],
)
async def test_wrong_paging_is_refused(sandbox: Driver, params: dict[str, object], param: str) -> None:
    assert (await sandbox.refused(400, "GET", "/v1/payment_intents", params))["param"] == param


async def test_lists_are_bounded_by_creation(sandbox: Driver) -> None:
    created = []
    for _ in range(3):
        created.append((await sandbox.unconfirmed())["created"])
        await sandbox.pass_time(100)

    async def found(**bounds: int) -> list[int]:
        filters = {f"created[{name}]": value for name, value in bounds.items()}
        return [each["created"] for each in (await sandbox.get("/v1/payment_intents", filters))["data"]][::-1]

    assert await found(gte=created[1]) == created[1:]
    assert await found(gt=created[1]) == created[2:]
    assert await found(lte=created[1]) == created[:2]
    assert await found(lt=created[1]) == created[:1]
    assert await found(gt=created[0], lt=created[2]) == [created[1]]
    exact = await sandbox.get("/v1/payment_intents", {"created": created[1]})
    assert [each["created"] for each in exact["data"]] == [created[1]]


async def test_filters(sandbox: Driver) -> None:
    customer = await sandbox.post("/v1/customers", {"email": "jenny@example.test"})
    await sandbox.post("/v1/customers", {"email": "other@example.test"})
    mine = await sandbox.pay(customer=customer["id"])
    await sandbox.pay()

    for path in ("/v1/payment_intents", "/v1/charges"):
        assert len((await sandbox.get(path, {"customer": customer["id"]}))["data"]) == 1
    assert len((await sandbox.get("/v1/charges", {"payment_intent": mine["id"]}))["data"]) == 1
    assert len((await sandbox.get("/v1/customers", {"email": "jenny@example.test"}))["data"]) == 1
    source = (await sandbox.get("/v1/balance_transactions", {"source": mine["latest_charge"]}))["data"]
    assert [entry["source"] for entry in source] == [mine["latest_charge"]]


async def test_events_are_found_by_type(sandbox: Driver) -> None:
    await sandbox.pay()
    await sandbox.declined("pm_card_visa_chargeDeclined")

    async def types(params: dict[str, object]) -> list[str]:
        return [event["type"] for event in (await sandbox.get("/v1/events", params))["data"]]

    assert await types({"type": "charge.failed"}) == ["charge.failed"]
    assert await types({"type": "charge.*"}) == ["charge.failed", "charge.succeeded"]
    assert await types({"types[]": "charge.succeeded"}) == ["charge.succeeded"]
    assert await types({"type": "nothing.happened"}) == []
    await sandbox.refused(400, "GET", "/v1/events", {"type": "charge.failed", "types[]": "charge.failed"})


async def test_an_event_says_which_request_caused_it(sandbox: Driver) -> None:
    response = await sandbox.send(
        "POST", "/v1/payment_intents", {"amount": 1099, "currency": "usd"}, idempotency_key="order-7"
    )
    event = (await sandbox.get("/v1/events"))["data"][0]
    assert event["request"] == {"id": response.headers["Request-Id"], "idempotency_key": "order-7"}
    assert event["data"]["object"] == response.json()
    assert await sandbox.get(f"/v1/events/{event['id']}") == event


async def test_expansion_four_levels_deep(sandbox: Driver) -> None:
    customer = await sandbox.post("/v1/customers")
    intent = await sandbox.pay(customer=customer["id"])
    await sandbox.post("/v1/refunds", {"payment_intent": intent["id"]})
    expanded = await sandbox.get(
        f"/v1/payment_intents/{intent['id']}",
        {
            "expand[0]": "latest_charge.balance_transaction.source.customer",
            "expand[1]": "latest_charge.refunds.data.balance_transaction",
            "expand[2]": "review",
        },
    )
    charge = expanded["latest_charge"]
    assert charge["balance_transaction"]["source"]["customer"]["id"] == customer["id"]
    assert charge["refunds"]["data"][0]["balance_transaction"]["type"] == "refund"
    assert expanded["review"] is None


async def test_expansion_in_lists_and_in_mutations(sandbox: Driver) -> None:
    intent = await sandbox.pay(**{"expand[]": "payment_method"})
    assert intent["payment_method"]["card"]["last4"] == "4242"
    listed = await sandbox.get("/v1/payment_intents", {"expand[]": "data.latest_charge"})
    assert listed["data"][0]["latest_charge"]["object"] == "charge"


@pytest.mark.parametrize(
    ("path", "expansion"),
    [
        ("/v1/payment_intents", "latest_charge"),
        ("/v1/payment_intents", "data.amount"),
        ("/v1/payment_intents", "data.latest_charge.balance_transaction.source.customer"),
        ("/v1/payment_intents/pi_none", "nothing"),
        ("/v1/payment_intents/pi_none", "latest_charge.amount"),
        ("/v1/payment_intents/pi_none", "review.charge"),
    ],
)
async def test_what_cannot_be_expanded_is_refused_even_if_nothing_is_there(
    sandbox: Driver, path: str, expansion: str
) -> None:
    error = await sandbox.refused(400, "GET", path, {"expand[]": expansion})
    assert (error["param"], error["type"]) == ("expand", "invalid_request_error")


async def test_filters_bounds_and_cursors_agree_with_a_look_at_everything(sandbox: Driver) -> None:
    for number in range(12):
        intent = await sandbox.pay("pm_card_visa", currency="eur" if number % 3 else "usd")
        if number % 2:
            await sandbox.post("/v1/refunds", {"payment_intent": intent["id"], "amount": 100})
        if number % 4 == 0:
            await sandbox.pass_time(50)
    everything = (await sandbox.get("/v1/balance_transactions", {"limit": 100}))["data"]
    middle = everything[len(everything) // 2]["created"]

    for filters in ({"type": "refund"}, {"currency": "eur"}, {"type": "charge", "currency": "usd"}, {"type": "payout"}):
        for bound in ({}, {"created[gte]": middle}, {"created[lt]": middle}):
            expected = [
                entry["id"]
                for entry in everything
                if all(entry[name] == value for name, value in filters.items())
                and (entry["created"] >= middle if "created[gte]" in bound else True)
                and (entry["created"] < middle if "created[lt]" in bound else True)
            ]
            assert await _forward(sandbox, {**filters, **bound}) == expected
            assert await _backward(sandbox, {**filters, **bound}, everything[-1]["id"]) == [
                entry for entry in expected if entry != everything[-1]["id"]
            ]


async def _forward(sandbox: Driver, filters: dict[str, object]) -> list[str]:
    found: list[str] = []
    while True:
        cursor = {"starting_after": found[-1]} if found else {}
        page = await sandbox.get("/v1/balance_transactions", {"limit": 2, **filters, **cursor})
        found += [entry["id"] for entry in page["data"]]
        if not page["has_more"]:
            return found


async def _backward(sandbox: Driver, filters: dict[str, object], before: str) -> list[str]:
    """Everything newer than one object, gathered from there."""
    found: list[str] = []
    while True:
        cursor = {"ending_before": found[0] if found else before}
        page = await sandbox.get("/v1/balance_transactions", {"limit": 2, **filters, **cursor})
        found = [entry["id"] for entry in page["data"]] + found
        if not page["has_more"]:
            return found


async def test_several_types_of_events_come_in_one_order(sandbox: Driver) -> None:
    for _ in range(4):
        await sandbox.pay()
    everything = (await sandbox.get("/v1/events", {"limit": 100}))["data"]
    wanted = {"payment_intent.created", "payment_intent.succeeded", "nothing.happened"}
    expected = [event["id"] for event in everything if event["type"] in wanted]
    params: dict[str, object] = {f"types[{index}]": name for index, name in enumerate(sorted(wanted))}
    found: list[str] = []
    for _ in range(3):
        cursor = {"starting_after": found[-1]} if found else {}
        page = await sandbox.get("/v1/events", {**params, **cursor, "limit": 3})
        found += [event["id"] for event in page["data"]]
    assert found == expected


async def test_every_movement_of_money_is_listed_with_its_source_and_fee(sandbox: Driver) -> None:
    intent = await sandbox.pay()
    refund = await sandbox.post("/v1/refunds", {"payment_intent": intent["id"], "amount": 99})
    await sandbox.post(f"/_sandbox/refunds/{refund['id']}/settle", {"outcome": "fail"})
    dispute = await sandbox.control("disputes", {"payment_intent": intent["id"]})
    await sandbox.post(f"/_sandbox/disputes/{dispute['id']}/settle", {"outcome": "win"})

    entries = (await sandbox.get("/v1/balance_transactions"))["data"][::-1]
    told = [
        (entry["type"], entry["reporting_category"], entry["source"], entry["amount"], entry["fee"], entry["net"])
        for entry in entries
    ]
    assert told == [
        ("charge", "charge", intent["latest_charge"], 1099, 62, 1037),
        ("refund", "refund", refund["id"], -99, 0, -99),
        ("refund_failure", "refund_failure", refund["id"], 99, 0, 99),
        ("adjustment", "dispute", dispute["id"], -1099, 1500, -2599),
        ("adjustment", "dispute_reversal", dispute["id"], 1099, 0, 1099),
    ]
    assert [sum(detail["amount"] for detail in entry["fee_details"]) for entry in entries] == [62, 0, 0, 1500, 0]
    balance = await sandbox.get("/v1/balance")
    assert sum(side["amount"] for side in (*balance["available"], *balance["pending"])) == 1037 - 1500
