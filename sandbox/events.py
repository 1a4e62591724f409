"""Events: what happened, newest first, for thirty days. https://docs.stripe.com/api/events"""

from fnmatch import fnmatchcase

from sandbox.errors import exclusive, invalid, no_such
from sandbox.listing import PAGING_AND_CREATED, find_page
from sandbox.operation import Answer, Call, Endpoint, Operation
from sandbox.parameters import Fields, Flag, ListOf, Text
from sandbox.wire import Json

_TYPES_MAX = 20
_KEPT_SECONDS = 30 * 86_400


def _retrieve(op: Operation, call: Call) -> Answer:
    event = op.require("event", call.path["id"], "id")
    if event.created < _oldest(op):
        raise no_such("event", event.id, "id")
    return event


def _list(op: Operation, call: Call) -> Answer:
    params = call.params
    links: dict[str, list[str]] = {}
    if params.get("delivery_success") is False:
        # Few as a rule, and so the better one to walk.
        links["delivered"] = ["false"]
    if (types := _types(op, params)) is not None:
        links["type"] = types
    if params.get("delivery_success"):
        links["delivered"] = ["true"]
    created = params.get("created", {})
    span = {**created, "from": max(created.get("from", 0), _oldest(op))}
    return find_page(op, "event", "/v1/events", {**params, "created": span}, links)


def _oldest(op: Operation) -> int:
    return op.now() - _KEPT_SECONDS


def _types(op: Operation, params: Json) -> list[str] | None:
    if "type" in params and "types" in params:
        raise exclusive("type", "types")
    if "types" in params:
        if len(params["types"]) > _TYPES_MAX:
            raise invalid(f"At most {_TYPES_MAX} types may be given.", param="types")
        return list(params["types"])
    if "type" not in params:
        return None
    pattern: str = params["type"]
    if "*" not in pattern:
        return [pattern]
    return [each for each in op.store.link_values("type") if fnmatchcase(each, pattern)]


ENDPOINTS = (
    Endpoint(
        "GET",
        "/v1/events",
        _list,
        "event",
        Fields({**PAGING_AND_CREATED, "type": Text(), "types": ListOf(Text()), "delivery_success": Flag()}),
        answers_list=True,
    ),
    Endpoint("GET", "/v1/events/{id}", _retrieve, "event"),
)
