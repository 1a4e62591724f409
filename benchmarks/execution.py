"""CPU time of executing Q1, Q2 and Q3 in process, by graphql-core alone and by compiled code, with rows in memory."""

import asyncio
import gc
import inspect
import time
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, cast
from uuid import UUID

from graphql import ExecutionResult, OperationDefinitionNode, execute, parse
from strawberry.schema.schema import StrawberryGraphQLCoreExecutionContext

from api.graphql.compiled import CompiledExecutor, PlanCache
from api.graphql.context import Context
from api.graphql.schema import schema
from benchmarks.operations import PAGE, Q1, Q2, Q3
from domain import ids
from domain.access import Actor, Role
from domain.audit import AuditEntry
from domain.identity.users import User
from domain.ids import IdKind, UserId
from domain.payments.queries import Page, Position, Reader
from domain.payments.transaction import Transaction
from tests.compiled.made_up import MadeUp
from tests.compiled.readers import made_up_context

ROUNDS = 9
_SCHEMA = schema._schema  # noqa: SLF001  Strawberry has no public name for the graphql-core schema inside
_AT = datetime(2026, 1, 1, tzinfo=UTC)


def _made(kind: type[Any], seed: object) -> Any:  # Any: a record of whatever kind
    return MadeUp(f"{kind.__name__}{seed}", oddity=0).value(kind)


class Rows:
    """What a reader finds, made before it is asked."""

    def __init__(self) -> None:
        self._user: User = _made(User, 0)
        self._transactions: list[Transaction] = [
            replace(_made(Transaction, number), id=UUID(int=1000 + number), user_id=UUID(int=1))
            for number in range(PAGE)
        ]
        self._page = _page(self._transactions)
        self._logs = {
            each.id: _page([_made(AuditEntry, f"{each.id}{number}") for number in range(3)])
            for each in self._transactions
        }

    async def transactions(self, *_: object) -> Page[Transaction]:
        return self._page

    async def transactions_by_ids(self, *_: object) -> dict[Any, Transaction]:
        return {self._transactions[0].id: self._transactions[0]}

    async def users_by_ids(self, wanted: Sequence[UserId], *_: object) -> dict[UserId, User]:
        return dict.fromkeys(wanted, self._user)

    async def audit_log_of(self, *_: object) -> dict[Any, Page[AuditEntry]]:
        return self._logs


def _page(items: Sequence[Any]) -> Page[Any]:
    return Page(items, [Position(_AT, UUID(int=1000)) for _ in items], has_previous=False, has_next=True)


def _context(rows: Rows) -> Context:
    context = made_up_context(0, 0, Actor(UserId(UUID(int=9)), Role.ADMIN))
    context.readers = replace(context.readers, payments=cast("Reader", rows))  # what these operations ask of a reader
    return context


async def _run(document: Any, variables: dict[str, Any], context: Context, options: dict[str, Any]) -> Any:
    found = execute(_SCHEMA, document, context_value=context, variable_values=variables, **options)
    result: ExecutionResult = await found if inspect.isawaitable(found) else found
    if result.errors:
        raise result.errors[0]
    return result.data


async def _microseconds(repeat: int, *arguments: Any) -> float:
    """CPU time of one execution; of several rounds the quickest, which others on the machine disturbed the least."""
    document, variables, rows, options = arguments
    best = float("inf")
    for _ in range(ROUNDS):
        contexts = [_context(rows) for _ in range(repeat)]
        begun = time.process_time()
        for context in contexts:
            await _run(document, variables, context, options)
        best = min(best, (time.process_time() - begun) / repeat)
    return best * 1e6


async def main() -> None:
    rows = Rows()
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000)
    one = ids.encode(IdKind.TRANSACTION, UUID(int=1000))
    for name, text, variables, repeat in (
        ("Q1", Q1, {"id": one}, 200),
        ("Q2", Q2, {"first": PAGE}, 20),
        ("Q3", Q3, {}, 1000),
    ):
        document = parse(text)
        node = next(each for each in document.definitions if isinstance(each, OperationDefinitionNode))
        plans = PlanCache(uses_before_compiling=0).operation(document, node)
        stock = {"executor_class": StrawberryGraphQLCoreExecutionContext}
        compiled = {"executor_class": CompiledExecutor, "plans": plans}
        answers = [await _run(document, variables, _context(rows), each) for each in (stock, compiled)]
        if answers[0] != answers[1]:
            raise RuntimeError(f"{name} is answered otherwise by compiled code")
        compiling = plans.take_seconds() * 1e3
        before, after = [await _microseconds(repeat, document, variables, rows, each) for each in (stock, compiled)]
        print(f"{name}: {before:,.0f} µs by graphql-core, {after:,.0f} µs compiled; compiling took {compiling:.1f} ms")


if __name__ == "__main__":
    asyncio.run(main())
