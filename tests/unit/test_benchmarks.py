"""The parts of the benchmarks that could be wrong unnoticed: how answers are read, and how times are told apart."""

import asyncio
import time
from collections.abc import AsyncIterator

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from benchmarks.database import PAYER_TRANSACTIONS, Payer
from benchmarks.load import LoadFailed, ask, in_turn, press, request
from benchmarks.taken_apart import PARTS, _part, _State
from tests.support.serving import serving


async def _answer(request: Request) -> Response:
    """What the client has to tell apart: a whole answer, one in chunks, one that holds an error, and a refusal."""
    asked = (await request.json())["asked"]
    if asked == "chunks":

        async def pieces() -> AsyncIterator[bytes]:
            for piece in (b'{"data":', b'{"a":1}', b"}"):
                yield piece

        return StreamingResponse(pieces(), media_type="application/json")
    if asked == "error":
        return JSONResponse({"data": None, "errors": [{"message": "no"}]})
    return JSONResponse({"data": {"a": 1}, "payload": {"errors": []}}, status_code=500 if asked == "refusal" else 200)


_APP = Starlette(routes=[Route("/", _answer, methods=["POST"])])


@pytest.mark.parametrize(("asked", "wrong"), [("whole", False), ("chunks", False), ("error", True), ("refusal", True)])
async def test_answers_are_told_from_errors(asked: str, wrong: bool) -> None:
    async with serving(_APP) as url:
        load = await press(url, in_turn([request("/", {"asked": asked})]), connections=3, seconds=0)
    # Each connection sends one request in any case, and none after the time is up.
    assert load.answers == 3
    assert load.errors == (3 if wrong else 0)


@pytest.mark.parametrize("asked", ["whole", "chunks"])
async def test_an_answer_is_read_whole(asked: str) -> None:
    async with serving(_APP) as url:
        answer = await ask(url, request("/", {"asked": asked}))
    assert isinstance(answer, dict)
    assert answer["data"] == {"a": 1}


async def test_a_refusal_is_no_answer() -> None:
    async with serving(_APP) as url:
        with pytest.raises(LoadFailed, match="500"):
            await ask(url, request("/", {"asked": "refusal"}))


def test_no_two_customers_have_a_transaction_in_common() -> None:
    payers = [Payer(number, 100) for number in range(1, 101)]
    ids = {payer.transaction_id(number) for payer in payers for number in range(PAYER_TRANSACTIONS)}
    assert len(ids) == 100 * PAYER_TRANSACTIONS


async def test_a_part_is_timed_without_what_others_do_while_it_waits() -> None:
    spent = _State.spent["limits"]

    async def work() -> str:
        await asyncio.sleep(0)
        return "done"

    async def busy() -> None:
        begun = time.thread_time_ns()
        while time.thread_time_ns() - begun < 20_000_000:
            pass

    before = spent[0]
    done, _ = await asyncio.gather(_part("limits")(work)(), busy())
    assert done == "done"
    assert 0 < spent[0] - before < 20_000_000


async def test_a_part_that_is_off_does_not_run(monkeypatch: pytest.MonkeyPatch) -> None:
    ran = []

    async def stock() -> str:
        ran.append("stock")
        return "stock"

    async def instead() -> str:
        return "instead"

    timed = _part("cost", instead)(stock)
    monkeypatch.setattr(_State, "off", frozenset(PARTS))
    assert await timed() == "instead"
    monkeypatch.setattr(_State, "off", frozenset())
    assert await timed() == "stock"
    assert ran == ["stock"]


async def test_an_error_comes_out_of_a_part_as_it_was_raised() -> None:
    async def failing() -> None:
        await asyncio.sleep(0)
        raise ValueError("as it was")

    with pytest.raises(ValueError, match="as it was"):
        await _part("cost")(failing)()
