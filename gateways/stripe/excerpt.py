"""What of Stripe's messages may be shown: ids, states, amounts and times, by a list of names.

Everything that is not on the list is left out, so that neither a client secret, a card, a name or an address is shown, nor
whatever Stripe adds next year.
"""

import json
import re
from collections.abc import Mapping
from typing import Final, TypeGuard

from domain.text import JsonValue, looks_like_card_number
from gateways.stripe.reports import REFUND_LABEL, TRANSACTION_LABEL
from gateways.stripe.shapes import Json, maybe_mapping, maybe_reference

_OF_EVENT: Final = ("id", "object", "type", "account", "api_version", "created", "livemode", "pending_webhooks")
_OF_OBJECT: Final = (
    "id",
    "object",
    "status",
    "amount",
    "amount_capturable",
    "amount_captured",
    "amount_received",
    "amount_refunded",
    "currency",
    "created",
    "livemode",
    "captured",
    "paid",
    "refunded",
    "disputed",
    "canceled_at",
    "cancellation_reason",
    "capture_method",
    "failure_code",
    "failure_reason",
    "reason",
)
_REFERENCES: Final = ("payment_intent", "charge", "latest_charge", "balance_transaction", "dispute", "refund")
_LABELS: Final = (TRANSACTION_LABEL, REFUND_LABEL)
# What the names above hold: words and ids, never sentences. A client secret is built of an id and would pass as one.
_WORD = re.compile(r"[A-Za-z0-9_.\-]{1,255}", re.ASCII)


def excerpt(body: bytes) -> Mapping[str, JsonValue]:
    """The part of an event's message that may be shown; empty for a body that is no event."""
    try:
        event = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    if not isinstance(event, dict):
        return {}
    data = maybe_mapping(event, "data") or {}
    shown = _named(event, _OF_EVENT)
    shown["data"] = {
        "object": _object(maybe_mapping(data, "object") or {}),
        "previous_attributes": _named(maybe_mapping(data, "previous_attributes") or {}, _OF_OBJECT),
    }
    return shown


def _object(thing: Json) -> dict[str, JsonValue]:
    shown = _named(thing, _OF_OBJECT)
    for name in _REFERENCES:
        reference = maybe_reference(thing, name)
        if reference is not None and _is_harmless(reference):
            shown[name] = reference
    labels = _named(maybe_mapping(thing, "metadata") or {}, _LABELS)
    return shown | ({"metadata": labels} if labels else {})


def _named(source: Json, names: tuple[str, ...]) -> dict[str, JsonValue]:
    return {name: value for name in names if name in source and _is_harmless(value := source[name])}


def _is_harmless(value: object) -> TypeGuard[str | int | None]:
    if isinstance(value, str):
        return bool(_WORD.fullmatch(value)) and "_secret_" not in value and not looks_like_card_number(value)
    return value is None or isinstance(value, int)
