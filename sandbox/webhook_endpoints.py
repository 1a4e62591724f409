"""Where events are delivered. https://docs.stripe.com/api/webhook_endpoints"""

import re

from sandbox.errors import invalid
from sandbox.ids import random_text
from sandbox.listing import PAGING, find_page
from sandbox.operation import API_VERSION, Answer, Call, Endpoint, Operation, merge_metadata
from sandbox.parameters import Choice, Fields, Flag, ListOf, Metadata, Parameter, Text, Url
from sandbox.rendering import render
from sandbox.store import Record
from sandbox.wire import Json

_EVENT_TYPE = re.compile(r"\*|[a-z0-9_]+(\.[a-z0-9_]+)+")
_KIND = "webhook_endpoint"


def add(op: Operation, params: Json, secret: str) -> Record:
    """An enabled endpoint whose deliveries are signed with the secret (whsec_...)."""
    body: Json = {
        "api_version": params.get("api_version"),
        "application": None,
        "description": params.get("description"),
        "enabled_events": _enabled_events(params["enabled_events"]),
        "metadata": merge_metadata({}, params.get("metadata", {})),
        "status": "enabled",
        "url": params["url"],
    }
    return op.add(_KIND, body, private={"secret": secret}, links={"url": params["url"]})


def _enabled_events(given: list[str]) -> list[str]:
    if not given:
        raise invalid("You must choose at least one event type.", param="enabled_events")
    for index, event_type in enumerate(given):
        if not _EVENT_TYPE.fullmatch(event_type):
            raise invalid(
                f"Invalid enabled_events[{index}]: {event_type} is not an event type", param=f"enabled_events[{index}]"
            )
    return given


def _create(op: Operation, call: Call) -> Answer:
    endpoint = add(op, call.params, "whsec_" + random_text(32))
    # The secret is told this once.
    return {**render(op, endpoint), "secret": endpoint.private["secret"]}


def _retrieve(op: Operation, call: Call) -> Answer:
    return op.require(_KIND, call.path["id"], "id")


def _update(op: Operation, call: Call) -> Answer:
    endpoint = op.require(_KIND, call.path["id"], "id")
    params = call.params
    for name in ("url", "description"):
        if name in params:
            endpoint.body[name] = params[name]
    if "enabled_events" in params:
        endpoint.body["enabled_events"] = _enabled_events(params["enabled_events"])
    if "metadata" in params:
        endpoint.body["metadata"] = merge_metadata(endpoint.body["metadata"], params["metadata"])
    if "disabled" in params:
        endpoint.body["status"] = "disabled" if params["disabled"] else "enabled"
    op.save(endpoint)
    op.store.link(endpoint, "url", endpoint.body["url"])
    return endpoint


def _delete(op: Operation, call: Call) -> Answer:
    endpoint = op.require(_KIND, call.path["id"], "id")
    op.store.delete(endpoint)
    return {"id": endpoint.id, "object": _KIND, "deleted": True}


def _list(op: Operation, call: Call) -> Answer:
    return find_page(op, _KIND, "/v1/webhook_endpoints", call.params)


_FIELDS: dict[str, Parameter] = {
    "description": Text(unset=True),
    "enabled_events": ListOf(Text()),
    "metadata": Metadata(),
    "url": Url(web_only=True),
}

ENDPOINTS = (
    Endpoint(
        "POST",
        "/v1/webhook_endpoints",
        _create,
        _KIND,
        Fields({**_FIELDS, "api_version": Choice((API_VERSION,))}, required=("enabled_events", "url")),
    ),
    Endpoint("GET", "/v1/webhook_endpoints", _list, _KIND, Fields(PAGING), answers_list=True),
    Endpoint("GET", "/v1/webhook_endpoints/{id}", _retrieve, _KIND),
    Endpoint("POST", "/v1/webhook_endpoints/{id}", _update, _KIND, Fields({**_FIELDS, "disabled": Flag()})),
    Endpoint("DELETE", "/v1/webhook_endpoints/{id}", _delete, _KIND),
)
