"""Relay connections: whole lists walked in pages, from both ends, ties and all."""

import base64
import json
from datetime import timedelta
from typing import Any

import pytest

from domain.currencies import Currency
from domain.money import Money
from tests.api.application import Florin, Json, Person
from tests.api.stored import global_id, store, store_many
from tests.support.clock import START

PAGE = """query Page($first: Int, $after: String, $last: Int, $before: String, $orderBy: TransactionOrder) {
  transactions(first: $first, after: $after, last: $last, before: $before, orderBy: $orderBy) {
    totalCount nodes { id } edges { cursor node { id } }
    pageInfo { hasNextPage hasPreviousPage startCursor endCursor } } }"""
ORDERS = [{"field": field, "direction": end} for field in ("CREATED_AT", "AMOUNT") for end in ("ASC", "DESC")]


async def page(who: Person, **arguments: object) -> Json:
    found: Json = (await who.ask(PAGE, arguments))["transactions"]
    assert [edge["node"] for edge in found["edges"]] == found["nodes"]
    info = found["pageInfo"]
    ends = (found["edges"][0]["cursor"], found["edges"][-1]["cursor"]) if found["edges"] else (None, None)
    assert (info["startCursor"], info["endCursor"]) == ends
    return found


@pytest.fixture
async def tied(florin: Florin, ada: Person) -> list[str]:
    """Eleven transactions with few times and few amounts between them, oldest and then smallest id first."""
    records = []
    for n in range(11):
        at = START + timedelta(microseconds=n // 4)
        records.append(await store(florin, ada, money=Money(100 + n % 3, Currency.USD), at=at))
    return [global_id(record) for record in records]


@pytest.mark.parametrize("order", ORDERS, ids=lambda order: f"{order['field']} {order['direction']}")
@pytest.mark.parametrize("size", [1, 4, 12])
async def test_pages_make_up_the_whole_list_from_both_ends(
    ada: Person, tied: list[str], order: dict[str, str], size: int
) -> None:
    whole = [node["id"] for node in (await page(ada, first=100, orderBy=order))["nodes"]]
    assert sorted(whole) == sorted(tied)
    forwards: list[str] = []
    after, more = None, True
    while more:
        found = await page(ada, first=size, after=after, orderBy=order)
        assert found["totalCount"] == len(whole)
        assert found["pageInfo"]["hasPreviousPage"] is (after is not None)
        forwards += [node["id"] for node in found["nodes"]]
        after, more = found["pageInfo"]["endCursor"], found["pageInfo"]["hasNextPage"]
        assert more is (len(forwards) < len(whole))
    assert forwards == whole
    backwards: list[str] = []
    before, more = None, True
    while more:
        found = await page(ada, last=size, before=before, orderBy=order)
        assert found["pageInfo"]["hasNextPage"] is (before is not None)
        backwards[:0] = [node["id"] for node in found["nodes"]]
        before, more = found["pageInfo"]["startCursor"], found["pageInfo"]["hasPreviousPage"]
        assert more is (len(backwards) < len(whole))
    assert backwards == whole


async def test_the_default_is_the_newest_first(ada: Person, tied: list[str]) -> None:
    assert [node["id"] for node in (await page(ada))["nodes"]] == list(reversed(tied))


async def test_between_two_cursors(ada: Person, tied: list[str]) -> None:
    whole = await page(ada)
    cursors = [edge["cursor"] for edge in whole["edges"]]
    ids = [node["id"] for node in whole["nodes"]]
    between = await page(ada, after=cursors[2], before=cursors[7])
    assert [node["id"] for node in between["nodes"]] == ids[3:7]
    assert [node["id"] for node in (await page(ada, first=2, after=cursors[2], before=cursors[7]))["nodes"]] == ids[3:5]
    assert [node["id"] for node in (await page(ada, last=2, after=cursors[2], before=cursors[7]))["nodes"]] == ids[5:7]
    nothing = await page(ada, after=cursors[7], before=cursors[2])
    assert nothing["nodes"] == []
    assert nothing["pageInfo"]["startCursor"] is None


async def test_a_page_holds_twenty_unless_told_otherwise(florin: Florin, ada: Person) -> None:
    await store_many(florin, [ada], 21)
    assert len((await page(ada))["nodes"]) == 20
    document = "{ transactions(first: 1) { nodes { auditLog { nodes { id } } refunds(first: 100) { nodes { id } } } } }"
    (node,) = (await ada.ask(document))["transactions"]["nodes"]
    assert (len(node["auditLog"]["nodes"]), len(node["refunds"]["nodes"])) == (7, 6)


async def test_new_rows_do_not_shift_the_pages(florin: Florin, ada: Person, tied: list[str]) -> None:
    first = await page(ada, first=5)
    await store(florin, ada, at=START + timedelta(days=1))
    second = await page(ada, first=6, after=first["pageInfo"]["endCursor"])
    assert [node["id"] for node in first["nodes"] + second["nodes"]] == list(reversed(tied))


@pytest.mark.parametrize("child", ["refunds", "auditLog"])
async def test_children_are_paged_from_both_ends(florin: Florin, ada: Person, child: str) -> None:
    (record,) = await store_many(florin, [ada], 1)
    document = f"""query Children($id: ID!, $first: Int, $after: String, $last: Int, $before: String) {{
      transaction(id: $id) {{ {child}(first: $first, after: $after, last: $last, before: $before) {{
        totalCount nodes {{ id }} pageInfo {{ hasNextPage hasPreviousPage startCursor endCursor }} }} }} }}"""

    async def children(**arguments: object) -> Json:
        found: Json = (await ada.ask(document, {"id": global_id(record), **arguments}))["transaction"][child]
        return found

    whole = await children()
    assert whole["totalCount"] == len(whole["nodes"])
    forwards: list[Json] = []
    backwards: list[Json] = []
    cursors: dict[str, Any] = {"after": None, "before": None}
    for _ in range((whole["totalCount"] + 1) // 2):
        ahead = await children(first=2, after=cursors["after"])
        forwards += ahead["nodes"]
        back = await children(last=2, before=cursors["before"])
        backwards[:0] = back["nodes"]
        cursors = {"after": ahead["pageInfo"]["endCursor"], "before": back["pageInfo"]["startCursor"]}
    assert forwards == backwards == whole["nodes"]
    assert ahead["pageInfo"]["hasNextPage"] is False
    assert back["pageInfo"]["hasPreviousPage"] is False


BAD_ARGUMENTS: dict[str, dict[str, object]] = {
    "first 0": {"first": 0},
    "first -1": {"first": -1},
    "first 101": {"first": 101},
    "first of 32 bits": {"first": 2**31 - 1},
    "last 0": {"last": 0},
    "last -1": {"last": -1},
    "last 101": {"last": 101},
    "first and last": {"first": 1, "last": 1},
    "no cursor": {"after": "nonsense"},
    "an empty cursor": {"after": ""},
    "a NUL": {"before": "\x00"},
    "not ASCII": {"after": "ä"},
    "base64 of nothing much": {"after": base64.urlsafe_b64encode(b"5").decode()},
    "deep": {"after": base64.urlsafe_b64encode(b"[" * 5000).decode()},
}


@pytest.mark.parametrize("arguments", BAD_ARGUMENTS.values(), ids=BAD_ARGUMENTS.keys())
async def test_bad_pages_are_refused(florin: Florin, ada: Person, arguments: dict[str, object]) -> None:
    await store(florin, ada)
    given = ", ".join(f"{name}: {json.dumps(value)}" for name, value in arguments.items())
    for field in ("transactions", "me { transactions", "me { transactions { nodes { refunds"):
        document = f"{{ {field}({given}) {{ totalCount }} {'}' * field.count('{')} }}"
        error = await ada.refused(document)
        assert error["extensions"]["code"] == "BAD_INPUT"


def _cursor(*content: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(content).encode()).decode().rstrip("=")


async def test_a_forged_cursor_is_refused(ada: Person, tied: list[str]) -> None:
    real = (await page(ada, first=1))["pageInfo"]["endCursor"]
    ordering, number, digits = json.loads(base64.urlsafe_b64decode(real + "=="))
    assert _cursor(ordering, number, digits) != ""
    for forged in (
        _cursor(ordering, number),
        _cursor(ordering, number, digits, 1),
        _cursor(ordering, str(number), digits),
        _cursor(ordering, 2**63, digits),
        _cursor(ordering, 2**62, digits),
        _cursor(ordering, number, "g" * 32),
        _cursor(ordering, number, digits[:-1]),
        _cursor(ordering, 1.5, digits),
        _cursor("", number, digits),
        _cursor({"a": ordering}, number, digits),
        real + "!",
        real * 2,
    ):
        error = await ada.refused(PAGE, {"after": forged})
        assert error["extensions"]["code"] == "BAD_INPUT", forged


async def test_a_cursor_of_another_order_is_refused(ada: Person, tied: list[str]) -> None:
    cursors = {
        json.dumps(order): (await page(ada, first=1, orderBy=order))["pageInfo"]["endCursor"] for order in ORDERS
    }
    assert len(set(cursors.values())) == len(ORDERS)
    for made_for, cursor in cursors.items():
        for order in ORDERS:
            if json.dumps(order) == made_for:
                await page(ada, after=cursor, orderBy=order)
            else:
                error = await ada.refused(PAGE, {"after": cursor, "orderBy": order})
                assert error["extensions"]["code"] == "BAD_INPUT"


async def test_a_cursor_of_a_child_list_is_refused(florin: Florin, ada: Person) -> None:
    await store_many(florin, [ada], 1)
    document = "{ transactions { nodes { auditLog(first: 1) { pageInfo { endCursor } } } } }"
    (node,) = (await ada.ask(document))["transactions"]["nodes"]
    cursor = node["auditLog"]["pageInfo"]["endCursor"]
    assert (await ada.refused(PAGE, {"after": cursor}))["extensions"]["code"] == "BAD_INPUT"
    document = "query ($after: String) { transactions { nodes { refunds(after: $after) { totalCount } } } }"
    assert (await ada.refused(document, {"after": cursor}))["extensions"]["code"] == "BAD_INPUT"


async def test_somebody_elses_cursor_shows_nothing_of_theirs(florin: Florin, ada: Person, alan: Person) -> None:
    hers = [await store(florin, ada) for _ in range(2)]
    his = [await store(florin, alan) for _ in range(2)]
    cursor = (await page(ada, first=1, orderBy=ORDERS[0]))["pageInfo"]["endCursor"]
    assert [node["id"] for node in (await page(alan, after=cursor, orderBy=ORDERS[0]))["nodes"]] == list(
        map(global_id, his)
    )
    assert (await page(alan, before=cursor, orderBy=ORDERS[0]))["nodes"] == []
    assert len(hers) == 2
