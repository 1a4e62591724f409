"""Stored objects as the API shows them: fields that depend on the moment are filled in, ids expanded."""

from sandbox.expand import Tree
from sandbox.operation import Operation, Page
from sandbox.store import Criteria, Record
from sandbox.wire import Json

# As many as Stripe puts into a list inside another object.
_NESTED_LIST_LENGTH = 10


def render(op: Operation, record: Record, tree: Tree | None = None) -> Json:
    """A copy whose top level may be changed freely."""
    tree = tree or {}
    body = dict(record.body)
    if record.kind == "charge":
        body["refunds"] = _refunds(op, record, tree.get("refunds", {}).get("data", {}))
    elif record.kind == "balance_transaction":
        body["status"] = "available" if body["available_on"] <= op.now() else "pending"
    elif record.kind == "dispute":
        entries = [op.require("balance_transaction", entry, "id") for entry in record.private["entries"]]
        body["balance_transactions"] = [render(op, entry) for entry in entries]
    elif record.kind == "event":
        body["pending_webhooks"] = op.store.undelivered(record.id)
    for name, branch in tree.items():
        target = body.get(name)
        if isinstance(target, str) and (named := op.store.get(target)) is not None:
            body[name] = render(op, named, branch)
    return body


def render_page(op: Operation, page: Page, tree: Tree | None = None) -> Json:
    return {
        "object": "list",
        "data": [render(op, record, tree) for record in page.records],
        "has_more": page.has_more,
        "url": page.url,
    }


def _refunds(op: Operation, charge: Record, tree: Tree) -> Json:
    url = f"/v1/charges/{charge.id}/refunds"
    if not charge.body["amount_refunded"] and not charge.private.get("refund_attempted"):
        return render_page(op, Page([], has_more=False, url=url))
    found = op.store.find("refund", Criteria({"charge": [charge.id]}), limit=_NESTED_LIST_LENGTH + 1)
    page = Page(found[:_NESTED_LIST_LENGTH], has_more=len(found) > _NESTED_LIST_LENGTH, url=url)
    return render_page(op, page, tree)
