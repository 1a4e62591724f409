"""What compiled code does beside answering: how often it calls what, what it keeps, and what it leaves behind."""

import asyncio
import gc
import weakref
from collections import Counter
from collections.abc import Sequence
from typing import Any

import pytest
import strawberry
from graphql import DocumentNode, ExecutionResult, OperationDefinitionNode, execute, parse
from strawberry.dataloader import DataLoader

from api.graphql.batching import Loader
from api.graphql.compiled import CompiledExecutor, OperationPlans, PlanCache, batched
from api.graphql.compiled.plans import FAILURES_MAX, PLANS_MAX, REST
from tests.compiled.comparing import Comparison
from tests.compiled.laboratory import schema as laboratory


class Books:
    """What resolvers load, and what was asked of whom."""

    def __init__(self) -> None:
        self.calls: Counter[str] = Counter()
        self.batches: list[list[int]] = []
        self.begun = asyncio.Event()
        self.hold: asyncio.Event | None = None
        self.cancelled = False
        self.loader = DataLoader(self.load)
        self.keyed: Loader[int, int | None] = Loader(self.fetch)

    async def load(self, keys: list[int]) -> list[int | BaseException]:
        self.batches.append(list(keys))
        self.begun.set()
        if self.hold is not None:
            try:
                await self.hold.wait()
            except asyncio.CancelledError:
                self.cancelled = True
                raise
        return [ValueError("thirteen") if key == 13 else key * 10 for key in keys]

    async def fetch(self, keys: list[int]) -> dict[int, int | None]:
        found = dict(zip(keys, await self.load(keys), strict=True))
        for value in found.values():
            if isinstance(value, BaseException):
                raise value
        return {key: None if value == 70 else value for key, value in found.items() if isinstance(value, int)}


Info = strawberry.Info[Books, None]


@strawberry.type
class Shelf:
    """An object with fields that are waited for."""

    number: int

    @strawberry.field
    async def loaded(self, info: Info) -> int | None:
        info.context.calls["loaded"] += 1
        return await info.context.loader.load(self.number)

    @strawberry.field
    async def twice(self, info: Info) -> int:
        first = await info.context.loader.load(self.number)
        return await info.context.loader.load(first)

    @strawberry.field
    async def inner(self, info: Info) -> "Shelf":
        return Shelf(number=await info.context.loader.load(self.number + 1))

    @strawberry.field
    async def other(self, info: Info) -> list["Shelf"]:
        await asyncio.sleep(0)
        return [Shelf(number=self.number), Shelf(number=self.number + 50)]

    @batched(description="Loaded for all shelves at once.")
    @staticmethod
    async def together(shelves: "Sequence[Shelf]", info: Info, plus: int = 0) -> list[int | None]:
        info.context.calls["together"] += 1
        return await info.context.keyed.load_many([each.number + plus for each in shelves])

    @batched(description="Shelves of all shelves at once.")
    @staticmethod
    async def next_ones(shelves: "Sequence[Shelf]", info: Info) -> list["Shelf | None"]:
        found = await info.context.keyed.load_many([each.number for each in shelves])
        return [None if each is None else Shelf(number=each) for each in found]

    @batched(description="One of two shelves for all, or none.")
    @staticmethod
    async def shared(shelves: "Sequence[Shelf]", info: Info) -> list["Shelf | None"]:
        pair = Shelf(number=1), Shelf(number=2)
        return [pair[each.number % 2] if each.number < 4 else None for each in shelves]

    @strawberry.field
    def noted(self, info: Info) -> int:
        info.context.calls["noted"] += 1
        return self.number

    @strawberry.field
    async def alone(self, info: Info) -> int | None:
        return await info.context.keyed.load(self.number)

    @strawberry.field
    def unhappy(self) -> int:
        raise ValueError("unhappy")

    @strawberry.field
    async def hurried(self) -> str:
        try:
            async with asyncio.timeout(0):
                await asyncio.Event().wait()
        except TimeoutError:
            return "late"
        return "never"


@strawberry.type
class Query:
    """The query."""

    @strawberry.field
    async def shelves(self, info: Info, numbers: list[int]) -> list[Shelf]:
        info.context.calls["shelves"] += 1
        return [Shelf(number=each) for each in numbers]


@strawberry.type
class Mutation:
    """The mutation."""

    @strawberry.mutation
    async def put(self, info: Info, number: int) -> Shelf:
        info.context.calls[f"put {number}"] += 1
        return Shelf(number=number)


schema = strawberry.Schema(Query, Mutation)._schema


def plans_of(text: str, cache: PlanCache) -> OperationPlans:
    document = parse(text)
    return cache.operation(
        document, next(each for each in document.definitions if isinstance(each, OperationDefinitionNode))
    )


class Counted:
    """A cache whose outcomes are counted."""

    def __init__(self, **options: Any) -> None:  # Any: those of PlanCache
        self.outcomes: Counter[str] = Counter()
        self.cache = PlanCache(self._count, **{"uses_before_compiling": 0, **options})

    def _count(self, outcome: str) -> None:
        self.outcomes[str(outcome)] += 1


async def run(
    text: str | DocumentNode, context: Any, plans: OperationPlans, variables: dict[str, Any] | None = None
) -> ExecutionResult:
    found = execute(
        schema,
        parse(text) if isinstance(text, str) else text,
        context_value=context,
        variable_values=variables,
        executor_class=CompiledExecutor,
        plans=plans,
    )
    return found if isinstance(found, ExecutionResult) else await found


async def test_all_objects_of_a_level_are_one_batch() -> None:
    books = Books()
    text = "{ shelves(numbers: [1, 2, 3]) { a: loaded inner { loaded } b: loaded twice } }"
    counted = Counted()
    result = await run(text, books, plans_of(text, counted.cache))
    assert result.errors is None
    assert [sorted(each) for each in books.batches] == [[1, 2, 3, 4], [10, 20, 30, 40]]
    assert counted.outcomes == {"compiled": 1}


async def test_a_batched_field_is_resolved_once_for_all_objects_of_a_level() -> None:
    books, counted = Books(), Counted()
    text = "{ shelves(numbers: [1, 7, 1]) { together nextOnes { together(plus: 1) } alone } }"
    result = await run(text, books, plans_of(text, counted.cache))
    one = {"together": 10, "nextOnes": {"together": 110}, "alone": 10}
    assert result.data == {"shelves": [one, {"together": None, "nextOnes": None, "alone": None}, one]}
    # With whatever others load in the same turn, and each key once.
    assert books.batches == [[1, 7], [11]]
    assert books.calls == {"shelves": 1, "together": 2}
    assert counted.outcomes == {"compiled": 1}


@pytest.mark.parametrize("selection", ["noted", "noted loaded", "noted shared { number }"])
async def test_what_several_objects_share_is_completed_once(selection: str) -> None:
    books, comparison = Books(), Comparison(schema)
    text = f"{{ shelves(numbers: [1, 2, 3, 4, 1]) {{ shared {{ {selection} }} }} }}"
    assert await comparison.compiled(text, books) == await comparison.stock(text, Books())
    assert comparison.outcomes == {"compiled": 1}
    assert books.calls["noted"] == 2


async def test_graphql_core_resolves_a_batched_field_for_each_object_and_loads_as_one() -> None:
    books, comparison = Books(), Comparison(schema)
    text = "{ shelves(numbers: [1, 2, 3]) { together } }"
    assert await comparison.stock(text, books) == await comparison.compiled(text, Books())
    assert books.batches == [[1, 2, 3]]
    assert books.calls["together"] == 3


@pytest.mark.parametrize(
    "selection", ["together", "nextOnes { number }", "together nextOnes { nextOnes { number } }", "alone together"]
)
async def test_where_a_batched_field_fails_graphql_core_tells_for_which_objects(selection: str) -> None:
    comparison = Comparison(schema)
    text = f"{{ shelves(numbers: [1, 13]) {{ number {selection} }} }}"
    assert await comparison.compiled(text, Books()) == await comparison.stock(text, Books())
    assert comparison.outcomes == {"given_up": 1}


@pytest.mark.parametrize("returned", [int, "list[int]", Sequence])
def test_a_batched_resolver_says_that_it_returns_a_list(returned: Any) -> None:
    async def resolver(shelves: Sequence[Shelf]) -> Any:
        return [each.number for each in shelves]

    resolver.__annotations__["return"] = returned
    with pytest.raises(TypeError, match="returns a list"):
        batched(description="")(resolver)


async def test_branches_go_on_without_each_other() -> None:
    text = "{ shelves(numbers: [1, 2]) { inner { loaded inner { number } } other { loaded number other { number } } } }"
    comparison = Comparison(schema)
    assert await comparison.compiled(text, Books()) == await comparison.stock(text, Books())
    assert comparison.outcomes == {"compiled": 1}


async def test_what_a_loader_failed_to_load_is_not_asked_for_again() -> None:
    books, counted = Books(), Counted()
    text = "{ shelves(numbers: [1, 13]) { number loaded } }"
    result = await run(text, books, plans_of(text, counted.cache))
    assert result.data == {"shelves": [{"number": 1, "loaded": 10}, {"number": 13, "loaded": None}]}
    assert [error.path for error in result.errors or ()] == [["shelves", 1, "loaded"]]
    assert books.batches == [[1, 13]]
    assert books.calls == {"shelves": 1, "loaded": 4}
    assert counted.outcomes == {"given_up": 1}


async def test_a_mutation_is_done_once_whatever_becomes_of_its_answer() -> None:
    books, counted = Books(), Counted()
    text = (
        "mutation { a: put(number: 1) { loaded } b: put(number: 13) { loaded unhappy } c: put(number: 3) { number } }"
    )
    result = await run(text, books, plans_of(text, counted.cache))
    assert result.data is None
    assert {name: count for name, count in books.calls.items() if name != "loaded"} == {"put 1": 1, "put 13": 1}
    assert counted.outcomes == {"compiled": 1, "given_up": 1}


async def test_what_needs_a_task_gives_up_once_and_has_tasks_from_then_on() -> None:
    counted = Counted()
    text = "{ shelves(numbers: [1, 2]) { hurried } }"
    plans = plans_of(text, counted.cache)
    for _ in range(3):
        result = await run(text, Books(), plans)
        assert result.data == {"shelves": [{"hurried": "late"}, {"hurried": "late"}]}
    assert counted.outcomes == {"given_up": 1, "compiled": 2}


@pytest.mark.parametrize("selection", ["loaded inner { number }", "together nextOnes { together }"])
async def test_a_cancelled_operation_cancels_what_it_waits_for(selection: str) -> None:
    books = Books()
    books.hold = asyncio.Event()
    text = f"{{ shelves(numbers: [1, 2]) {{ {selection} }} }}"
    running = asyncio.ensure_future(run(text, books, plans_of(text, Counted().cache)))
    await books.begun.wait()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    await asyncio.sleep(0)
    assert books.cancelled


async def test_a_gate_is_asked_once_and_closes_a_field_for_all() -> None:
    comparison = Comparison(laboratory._schema)
    for shows in (True, False):
        answer = await comparison.compiled("{ items { hidden hiddenLater } }", {"shows": shows})
        shown = '"hidden"' if shows else "null"
        assert answer.data.count(f": {shown}") == 4
    assert comparison.outcomes == {"compiled": 2}


@pytest.mark.parametrize("shows", [True, False])
async def test_a_gate_before_what_must_not_be_null_is_left_to_graphql_core(shows: bool) -> None:
    comparison = Comparison(laboratory._schema)
    text = "{ items { hiddenPromise } }"
    assert await comparison.compiled(text, {"shows": shows}) == await comparison.stock(text, {"shows": shows})
    assert comparison.outcomes == {"unsupported": 1}


@pytest.mark.parametrize("selection", ["number", "number loaded other { number }", "together nextOnes { together }"])
@pytest.mark.parametrize("uses_before_compiling", [0, 99])
async def test_an_execution_is_gone_with_its_answer(selection: str, uses_before_compiling: int) -> None:
    """Nothing of it waits for the garbage collector, whoever completed it."""
    text = f"{{ shelves(numbers: [1, 2]) {{ {selection} }} }}"
    document = parse(text)
    plans = plans_of(text, Counted(uses_before_compiling=uses_before_compiling).cache)
    gone: list[weakref.ref[object]] = []
    gc.collect()
    gc.disable()
    try:
        for _ in range(2):
            books = Books()
            gone.append(weakref.ref(books.calls))
            await run(document, books, plans)
            # It is held by a bound method of its own.
            del books.loader, books.keyed
            del books
            await asyncio.sleep(0)
        assert [each() for each in gone] == [None, None]
    finally:
        gc.enable()


async def test_a_document_is_compiled_once_it_has_come_again() -> None:
    counted = Counted(uses_before_compiling=2)
    text = "{ shelves(numbers: [1]) { number } }"
    plans = plans_of(text, counted.cache)
    for _ in range(4):
        await run(text, Books(), plans)
    assert counted.outcomes == {"not_compiled": 2, "compiled": 2}
    assert plans.take_seconds() > 0
    assert plans.take_seconds() == 0


async def test_a_plan_that_keeps_giving_up_rests_for_a_while() -> None:
    counted = Counted()
    text = "query ($n: [Int!]!) { shelves(numbers: $n) { loaded } }"
    plans = plans_of(text, counted.cache)
    for _ in range(FAILURES_MAX + REST + 1):
        await run(text, Books(), plans, {"n": [13]})
    assert counted.outcomes == {"given_up": FAILURES_MAX + 1, "resting": REST}
    result = await run(text, Books(), plans, {"n": [1]})
    assert result.data == {"shelves": [{"loaded": 10}]}
    assert counted.outcomes["compiled"] == 1


async def test_a_mistake_of_the_compiler_changes_no_answer(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(*_: object) -> None:
        raise KeyError

    counted = Counted()
    monkeypatch.setattr("api.graphql.compiled.plans.compile_plan", broken)
    text = "{ shelves(numbers: [1]) { number } }"
    result = await run(text, Books(), plans_of(text, counted.cache))
    assert (result.data, result.errors) == ({"shelves": [{"number": 1}]}, None)
    assert counted.outcomes == {"unsupported": 1}
    assert "compiling failed" in caplog.text


async def test_an_operation_has_a_bounded_number_of_plans() -> None:
    counted = Counted()
    conditions = "".join(f" a{index}: number @include(if: $b{index})" for index in range(6))
    declared = ", ".join(f"$b{index}: Boolean!" for index in range(6))
    text = f"query ({declared}) {{ shelves(numbers: [1]) {{ number{conditions} }} }}"
    plans = plans_of(text, counted.cache)
    for combination in range(2**6):
        variables = {f"b{index}": bool(combination >> index & 1) for index in range(6)}
        result = await run(text, Books(), plans, variables)
        assert result.data is not None
        assert len(result.data["shelves"][0]) == 1 + combination.bit_count()
    assert counted.outcomes == {"compiled": PLANS_MAX, "unsupported": 2**6 - PLANS_MAX}


async def test_all_operations_share_what_may_be_kept() -> None:
    counted = Counted(fields_max=10)
    texts = [f"{{ shelves(numbers: [1]) {{ number a{index}: number b: number }} }}" for index in range(20)]
    plans = [plans_of(text, counted.cache) for text in texts]
    for _ in range(2):
        for text, each in zip(texts, plans, strict=True):
            await run(text, Books(), each)
            assert counted.cache.fields <= 10
    assert sum(bool(each._plans) for each in plans) == 3
