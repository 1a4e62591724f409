"""What becomes of a request once it is authenticated: its idempotency key, the faults it meets, and its execution.

A request is decoded, looked up under its idempotency key, checked, executed in one transaction, and answered. Execution
never yields to another request, so two requests on one object follow each other.
"""

import asyncio
import logging
from dataclasses import dataclass, field, replace

from starlette.requests import Request

from sandbox.errors import ApiError, lock_timeout, rate_limited, unknown_error
from sandbox.expand import Tree, parse_expansions
from sandbox.faults import Fault, FaultKind
from sandbox.forms import RawHash
from sandbox.idempotency import KeyedRequest, StoredAnswer, in_use, keyed_request
from sandbox.machine import Machine
from sandbox.operation import Answer, Call, Endpoint, Operation, Page
from sandbox.parameters import Fields, ListOf, Parameter, Text
from sandbox.rendering import render, render_page
from sandbox.store import Record
from sandbox.wire import Json, dump

_log = logging.getLogger(__name__)

_EXPAND: Parameter = ListOf(Text())


@dataclass(slots=True)
class Exchange:
    """One request by an authenticated client, and the headers that its answer gets besides the usual ones."""

    request: Request
    request_id: str
    api_key: str
    headers: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Result:
    """An answer, and the fault that it meets on its way to the client."""

    status: int
    body: bytes
    fault: Fault | None = None


class Execution:
    """Executes the requests to one endpoint."""

    def __init__(self, machine: Machine, endpoint: Endpoint) -> None:
        self._machine = machine
        self._endpoint = endpoint
        self._takes = Fields({**endpoint.takes.known, "expand": _EXPAND}, endpoint.takes.required)

    async def __call__(self, exchange: Exchange, raw: RawHash) -> Result:
        """Raises ApiError for what was refused before anything could be stored."""
        keys = self._machine.idempotency_keys
        keyed = self._keyed(exchange, raw)
        stored = None if keyed is None else keys.claim(keyed)
        if stored is not None:
            result = await self._repeat(stored, exchange)
        else:
            try:
                result = await self._execute(exchange, raw, keyed)
            finally:
                if keyed is not None:
                    keys.release(keyed)
        if result.fault is not None and result.fault.kind is FaultKind.DELAY_AFTER:
            await asyncio.sleep(result.fault.seconds)
        return result

    def _keyed(self, exchange: Exchange, raw: RawHash) -> KeyedRequest | None:
        key = exchange.request.headers.get("idempotency-key")
        if self._endpoint.method != "POST" or not key:
            return None
        exchange.headers["Idempotency-Key"] = key
        return keyed_request(exchange.api_key, key, exchange.request.url.path, raw)

    async def _repeat(self, stored: StoredAnswer, exchange: Exchange) -> Result:
        fault = self._machine.faults.strike_request(self._endpoint.name, keyed=True, executes=False)
        if fault is not None and (refused := await self._arrive(fault, None)) is not None:
            return refused
        exchange.headers |= {"Idempotent-Replayed": "true", "Original-Request": stored.request_id}
        return Result(stored.status, stored.body, fault)

    async def _execute(self, exchange: Exchange, raw: RawHash, keyed: KeyedRequest | None) -> Result:
        params = self._takes.parse_hash(raw)
        tree = parse_expansions(params.pop("expand", ()), self._endpoint.answers, in_list=self._endpoint.answers_list)
        fault = self._machine.faults.strike_request(self._endpoint.name, keyed=keyed is not None, executes=True)
        if fault is not None and (refused := await self._arrive(fault, keyed)) is not None:
            return refused
        if keyed is not None:
            exchange.headers["Original-Request"] = exchange.request_id
            if self._machine.config.latency_seconds:
                await asyncio.sleep(self._machine.config.latency_seconds)
        result = self._commit(Call(exchange.request.path_params, params), tree, exchange, keyed, fault)
        if fault is not None and fault.kind is FaultKind.CRASH_AFTER:
            self._machine.crash()
        return result

    async def _arrive(self, fault: Fault, keyed: KeyedRequest | None) -> Result | None:
        """Suffer what happens before anything is done. A result means that nothing will be. Raises ApiError likewise."""
        match fault.kind:
            case FaultKind.DROP_REQUEST | FaultKind.UNAVAILABLE:
                return Result(503, b"", fault)
            case FaultKind.RATE_LIMIT:
                raise rate_limited()
            case FaultKind.LOCK_TIMEOUT:
                raise lock_timeout()
            case FaultKind.KEY_IN_USE if keyed is not None:
                raise in_use(keyed.key)
            case FaultKind.DELAY_BEFORE:
                await asyncio.sleep(fault.seconds)
        return None

    def _commit(
        self, call: Call, tree: Tree, exchange: Exchange, keyed: KeyedRequest | None, fault: Fault | None
    ) -> Result:
        """Change the state and keep the answer, both or neither. Raises ApiError for a refusal that is not kept."""
        machine = self._machine
        machine.run_due_timers()
        try:
            with machine.begin(exchange.request_id, keyed.key if keyed else None) as op:
                result = self._fail(self._act(op, call, tree, exchange), exchange, fault)
                self._keep(keyed, result, exchange)
                if fault is not None and fault.kind is FaultKind.CRASH_BEFORE:
                    machine.crash()
        except ApiError as error:
            if not error.stored:
                raise
            result = self._refusal(error, exchange)
        except Exception:  # noqa: BLE001 - a fault of ours is answered, and repeated, as Stripe does its own
            _log.exception("%s failed", self._endpoint.name)
            result = self._refusal(unknown_error(), exchange)
        else:
            return replace(result, fault=fault)
        # What was changed is undone, but the answer is kept: Stripe repeats refusals and failures alike.
        with machine.store.transaction():
            self._keep(keyed, result, exchange)
        return replace(result, fault=fault)

    def _act(self, op: Operation, call: Call, tree: Tree, exchange: Exchange) -> Result:
        try:
            return Result(200, dump(_shown(op, self._endpoint.act(op, call), tree)))
        except ApiError as error:
            if not error.commits:
                raise
            return self._refusal(error, exchange)

    def _fail(self, result: Result, exchange: Exchange, fault: Fault | None) -> Result:
        if fault is not None and fault.kind is FaultKind.ERROR_WITHOUT_EFFECT:
            raise unknown_error()
        if fault is not None and fault.kind is FaultKind.ERROR_WITH_EFFECT:
            return self._refusal(unknown_error(), exchange)
        return result

    def _refusal(self, error: ApiError, exchange: Exchange) -> Result:
        return refusal(error, exchange.request_id, self._machine.clock.timestamp())

    def _keep(self, keyed: KeyedRequest | None, result: Result, exchange: Exchange) -> None:
        if keyed is not None:
            answer = StoredAnswer(result.status, result.body, exchange.request_id)
            self._machine.idempotency_keys.keep(keyed, answer)


def refusal(error: ApiError, request_id: str, timestamp: int) -> Result:
    return Result(error.status, dump(error.body(request_id, timestamp)))


def _shown(op: Operation, answer: Answer, tree: Tree) -> Json:
    if isinstance(answer, Record):
        return render(op, answer, tree)
    if isinstance(answer, Page):
        return render_page(op, answer, tree)
    return answer
