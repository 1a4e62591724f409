"""The controls that plan, show and clear faults."""

from fnmatch import fnmatchcase

from sandbox.control import Control
from sandbox.endpoints import ENDPOINTS
from sandbox.errors import ApiError, invalid, missing, no_such
from sandbox.faults import CRASHES, OF_EVENTS, TIMED, FaultKind
from sandbox.ids import random_text
from sandbox.machine import Machine
from sandbox.operation import EVENT_TYPES, HELD_SECONDS, Call
from sandbox.parameters import Choice, Fields, Integer, Number, Text
from sandbox.wire import Json

_URL = "/_sandbox/faults"
# A list that only grows would slow every request down without anybody noticing.
_FAULTS_MAX = 1_000
_TIMES_MAX = 1_000_000
# A client is kept waiting no longer than this. A webhook comes late by the sandbox's clock, which costs nobody any time.
_SECONDS_MAX = 600
_LATE_SECONDS_MAX = 30 * 86_400
_NAMES = tuple(endpoint.name for endpoint in ENDPOINTS)


def _create(machine: Machine, call: Call) -> Json:
    params = call.params
    kind = FaultKind(params["kind"])
    target = _event(params) if kind in OF_EVENTS else _endpoint(params)
    if kind in TIMED and "seconds" not in params:
        raise missing("seconds")
    if kind not in TIMED and kind is not FaultKind.REORDER and "seconds" in params:
        raise invalid(f"The fault {kind} takes no seconds.", param="seconds")
    if kind not in OF_EVENTS and params.get("seconds", 0) > _SECONDS_MAX:
        raise invalid(f"Invalid seconds: a request takes at most {_SECONDS_MAX}", param="seconds")
    if kind in CRASHES and not machine.may_crash:
        raise ApiError(400, "This sandbox runs inside another program, which a crash would end with it.", param="kind")
    if len(machine.faults.all()) >= _FAULTS_MAX:
        raise ApiError(400, f"There are {_FAULTS_MAX} faults already. Clear them first: DELETE {_URL}")
    return machine.faults.add(
        kind=kind,
        target=target,
        # Without a number of times a fault happens once, one with a probability until it is cleared.
        remaining=params.get("times", None if "probability" in params else 1),
        probability=params.get("probability", 1.0),
        seed=params.get("seed") or random_text(16),
        seconds=params.get("seconds", HELD_SECONDS if kind is FaultKind.REORDER else 0.0),
    ).shown()


def _endpoint(params: Json) -> str:
    if "event" in params:
        raise invalid(f"The fault {params['kind']} happens to requests, not to events.", param="event")
    if "endpoint" not in params:
        raise missing("endpoint")
    pattern: str = params["endpoint"]
    if not any(fnmatchcase(name, pattern) for name in _NAMES):
        raise invalid(
            f"No endpoint is called {pattern}. There are: {', '.join(_NAMES)}; an asterisk stands for any text.",
            param="endpoint",
        )
    return pattern


def _event(params: Json) -> str:
    if "endpoint" in params:
        raise invalid(f"The fault {params['kind']} happens to events, not to requests.", param="endpoint")
    pattern: str = params.get("event", "*")
    if not any(fnmatchcase(event_type, pattern) for event_type in EVENT_TYPES):
        raise invalid(
            f"No event is called {pattern}. There are: {', '.join(EVENT_TYPES)}; an asterisk stands for any text.",
            param="event",
        )
    return pattern


def _list(machine: Machine, _call: Call) -> Json:
    faults = [fault.shown() for fault in machine.faults.all()]
    return {"object": "list", "data": faults, "has_more": False, "url": _URL}


def _retrieve(machine: Machine, call: Call) -> Json:
    for fault in machine.faults.all():
        if fault.id == call.path["id"]:
            return fault.shown()
    raise no_such("fault", call.path["id"], "id")


def _delete(machine: Machine, call: Call) -> Json:
    if not machine.faults.delete(call.path["id"]):
        raise no_such("fault", call.path["id"], "id")
    return {"id": call.path["id"], "object": "sandbox.fault", "deleted": True}


def _clear(machine: Machine, _call: Call) -> Json:
    return {"object": "sandbox.faults", "deleted": machine.faults.clear()}


FAULT_CONTROLS = (
    Control(
        "POST",
        _URL,
        _create,
        Fields(
            {
                "endpoint": Text(),
                "event": Text(),
                "kind": Choice(tuple(FaultKind)),
                "probability": Number(0, 1),
                "seconds": Number(0, _LATE_SECONDS_MAX),
                "seed": Text(length_max=100),
                "times": Integer(1, _TIMES_MAX),
            },
            required=("kind",),
        ),
    ),
    Control("GET", _URL, _list),
    Control("DELETE", _URL, _clear),
    Control("GET", _URL + "/{id}", _retrieve),
    Control("DELETE", _URL + "/{id}", _delete),
)
