"""Distil from Stripe's published OpenAPI files what the sandbox's tests need.

Usage: python scripts/distill_stripe_shapes.py FOLDER

FOLDER holds `spec3-2022-03.json` (the whole OpenAPI document), `fixtures3.json` (one newer example of each resource)
and `LICENSE`, as Stripe publishes them at https://github.com/stripe/openapi. Written are JSON Schemas of the resources
that the sandbox answers with, the newer examples' key sets, and the licence beside them.
"""

import argparse
import json
import shutil
from pathlib import Path
from typing import Any, TypeAlias

# Any: arbitrary JSON documents are cut up here.
Json: TypeAlias = dict[str, Any]

TARGET = Path(__file__).parent.parent / "tests" / "sandbox" / "data"
RESOURCES = (
    "account",
    "balance",
    "balance_transaction",
    "charge",
    "customer",
    "deleted_customer",
    "deleted_webhook_endpoint",
    "dispute",
    "error",
    "event",
    "payment_intent",
    "payment_method",
    "refund",
    "webhook_endpoint",
)
# Hashes inside resources whose newer keys are worth comparing as well.
NESTED = {
    "charge.outcome": ("charge", "outcome"),
    "charge.payment_method_details.card": ("charge", "payment_method_details", "card"),
    "dispute.evidence": ("dispute", "evidence"),
    "payment_method.card": ("payment_method", "card"),
}
# Other ways to pay than by card, and people: never in the sandbox's answers, so their shapes are left open.
_LEFT_OPEN = (
    "legal_entity_",
    "payment_intent_next_action_",
    "payment_intent_payment_method_options_",
    "payment_method_",
    "payment_method_details_",
)
_REFERENCE = "#/components/schemas/"
_DROPPED = frozenset({"description", "title", "x-expandableFields", "x-expansionResources", "x-resourceId"})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    folder: Path = parser.parse_args().folder
    spec = json.loads((folder / "spec3-2022-03.json").read_text())["components"]["schemas"]
    examples = json.loads((folder / "fixtures3.json").read_text())["resources"]

    document = {"definitions": _closure(spec), "keys": _keys(examples)}
    TARGET.mkdir(parents=True, exist_ok=True)
    (TARGET / "stripe_shapes.json").write_text(
        json.dumps(document, indent=None, sort_keys=True, separators=(",", ":")) + "\n"
    )
    shutil.copyfile(folder / "LICENSE", TARGET / "LICENSE")


def _closure(spec: Json) -> Json:
    """The resources and every schema they refer to, except resources that the sandbox never answers with."""
    wanted = list(RESOURCES)
    done: Json = {}
    while wanted:
        name = wanted.pop()
        if name in done:
            continue
        if name not in RESOURCES and (_is_resource(spec[name]) or _is_left_open(name)):
            done[name] = {"type": "object"}
            continue
        done[name] = _json_schema(spec[name], wanted)
    return done


def _is_resource(schema: Json) -> bool:
    return "object" in schema.get("properties", {})


def _is_left_open(name: str) -> bool:
    return name.startswith(_LEFT_OPEN) and name != "payment_method_details" and "card" not in name


def _json_schema(schema: Json, wanted: list[str]) -> Json:
    """OpenAPI 3.0 to JSON Schema: references move, `nullable` becomes a type, prose goes."""
    if "$ref" in schema:
        name = schema["$ref"].removeprefix(_REFERENCE)
        wanted.append(name)
        converted: Json = {"$ref": f"#/definitions/{name}"}
    else:
        converted = {}
        for key, value in schema.items():
            if key in _DROPPED or key == "nullable":
                continue
            if key == "properties":
                converted[key] = {name: _json_schema(each, wanted) for name, each in value.items()}
            elif key in {"anyOf", "oneOf", "allOf"}:
                converted[key] = [_json_schema(each, wanted) for each in value]
            elif key in {"items", "additionalProperties"} and isinstance(value, dict):
                converted[key] = _json_schema(value, wanted)
            else:
                converted[key] = value
    if schema.get("nullable"):
        return {"anyOf": [converted, {"type": "null"}]}
    return converted


def _keys(examples: Json) -> Json:
    keys = {name: sorted(examples[name]) for name in RESOURCES if name in examples}
    for name, (resource, *path) in NESTED.items():
        node = examples[resource]
        for step in path:
            node = node[step]
        keys[name] = sorted(node)
    return keys


if __name__ == "__main__":
    main()
