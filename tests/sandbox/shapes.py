"""Stripe's published shapes, as `scripts/distill_stripe_shapes.py` distilled them into data/."""

import json
from pathlib import Path
from typing import Any

import jsonschema
import stripe

from tests.sandbox.driver import Json

_DATA: Json = json.loads((Path(__file__).parent / "data" / "stripe_shapes.json").read_text())
_KEYS: dict[str, list[str]] = _DATA["keys"]

# The classes that say which keys came after the OpenAPI document. Any: they are only looked at for their annotations.
_CLASSES: dict[str, Any] = {
    "account": stripe.Account,
    "balance": stripe.Balance,
    "balance_transaction": stripe.BalanceTransaction,
    "charge": stripe.Charge,
    "customer": stripe.Customer,
    "dispute": stripe.Dispute,
    "event": stripe.Event,
    "payment_intent": stripe.PaymentIntent,
    "payment_method": stripe.PaymentMethod,
    "refund": stripe.Refund,
    "webhook_endpoint": stripe.WebhookEndpoint,
}

_VALIDATORS = {
    name: jsonschema.Draft7Validator({"$ref": f"#/definitions/{name}", "definitions": _DATA["definitions"]})
    for name in (*_CLASSES, "error", "deleted_customer", "deleted_webhook_endpoint")
}


def violations(name: str, body: Json) -> list[str]:
    """What is wrong with the body, measured by the OpenAPI schema and the keys of the newer published example."""
    found = [
        f"{'.'.join(str(step) for step in error.absolute_path)}: {error.message}"
        for error in _VALIDATORS[name].iter_errors(body)
    ]
    found += [f"{name}: {key} is missing" for key in _KEYS.get(name, ()) if key not in body]
    if name in _CLASSES:
        known = set(_KEYS.get(name, ())) | set(_CLASSES[name].__annotations__)
        found += [f"{name}: {key} is not a key of Stripe's" for key in body if key not in known]
    for nested, keys in _KEYS.items():
        resource, _, path = nested.partition(".")
        if resource == name and path:
            found += _missing_inside(body, nested, path.split("."), keys)
    return found


def _missing_inside(body: Json, nested: str, path: list[str], keys: list[str]) -> list[str]:
    node: Any = body  # Any: whatever stands at the path.
    for step in path:
        if node is None:
            return []
        node = node[step]
    return [f"{nested}: {key} is missing" for key in keys if node is not None and key not in node]


def list_violations(name: str, body: Json) -> list[str]:
    found = [] if set(body) == {"object", "data", "has_more", "url"} else [f"list: keys are {sorted(body)}"]
    if body.get("object") != "list":
        found.append("list: object is not list")
    return found + [violation for item in body["data"] for violation in violations(name, item)]
