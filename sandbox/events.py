"""Events: what happened, newest first. https://docs.stripe.com/api/events"""

from fnmatch import fnmatchcase

from sandbox.errors import exclusive, invalid
from sandbox.listing import PAGING_AND_CREATED, find_page
from sandbox.operation import Answer, Call, Endpoint, Operation
from sandbox.parameters import Fields, Flag, ListOf, Text
from sandbox.wire import Json

_TYPES_MAX = 20


def _retrieve(op: Operation, call: Call) -> Answer:
    return op.require("event", call.path["id"], "id")


def _list(op: Operation, call: Call) -> Answer:
    params = call.params
    links: dict[str, list[str]] = {}
    if (types := _types(op, params)) is not None:
        links["type"] = types
    if "delivery_success" in params:
        links["delivered"] = ["true" if params["delivery_success"] else "false"]
    return find_page(op, "event", "/v1/events", params, links)


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
