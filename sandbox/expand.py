"""`expand[]`: which ids may be replaced by the objects they name. https://docs.stripe.com/api/expanding_objects

A path is checked against what the API can expand before anything executes, so a wrong one is refused even where the
list it asks about is empty.
"""

from collections.abc import Sequence
from typing import TypeAlias

from sandbox.errors import ApiError, invalid

Tree: TypeAlias = dict[str, "Tree"]

_LEVELS_MAX = 4

# What each kind can expand, and to which kind. None: Stripe can, but the field is always null in the sandbox.
_CHARGE = {
    "application": None,
    "application_fee": None,
    "balance_transaction": "balance_transaction",
    "customer": "customer",
    "failure_balance_transaction": "balance_transaction",
    "on_behalf_of": None,
    "payment_intent": "payment_intent",
    "refunds": "refunds",
    "review": None,
    "source_transfer": None,
}
_REFUND = {
    "balance_transaction": "balance_transaction",
    "charge": "charge",
    "customer": "customer",
    "failure_balance_transaction": "balance_transaction",
    "payment_intent": "payment_intent",
    "payment_method": "payment_method",
    "source_transfer_reversal": None,
    "transfer_reversal": None,
}
_DISPUTE = {"charge": "charge", "payment_intent": "payment_intent"}
_EXPANDABLE: dict[str, dict[str, str | None]] = {
    "balance_transaction": {"source": "balance_transaction_source"},
    "balance_transaction_source": {**_CHARGE, **_REFUND, **_DISPUTE},
    "charge": {**_CHARGE},
    "customer": {"default_source": None, "test_clock": None},
    "dispute": {**_DISPUTE},
    "payment_intent": {
        "application": None,
        "customer": "customer",
        "latest_charge": "charge",
        "on_behalf_of": None,
        "payment_method": "payment_method",
        "review": None,
        "source": None,
    },
    "payment_method": {"customer": "customer"},
    "refund": {**_REFUND},
    "refunds": {"data": "refund"},
}


def parse_expansions(paths: Sequence[str], kind: str, *, in_list: bool) -> Tree:
    """The paths as a tree for one object of the kind. Raises ApiError 400 for a path that cannot be expanded."""
    root: Tree = {}
    for path in paths:
        segments = path.split(".")
        if len(segments) > _LEVELS_MAX:
            raise invalid(
                f"You cannot expand more than {_LEVELS_MAX} levels of a property. Property: {path}", param="expand"
            )
        if in_list:
            if segments[0] != "data":
                raise _not_expandable(path, f" You may want to try expanding 'data.{path}' instead.")
            segments = segments[1:]
        node, of_kind = root, kind
        for segment in segments:
            known = _EXPANDABLE.get(of_kind, {})
            if segment not in known:
                raise _not_expandable(path)
            node = node.setdefault(segment, {})
            of_kind = known[segment] or ""
    return root


def _not_expandable(path: str, hint: str = "") -> ApiError:
    return invalid(f"This property cannot be expanded ({path}).{hint}", param="expand")
