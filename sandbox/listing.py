"""Cursor pages, newest first. https://docs.stripe.com/api/pagination"""

from collections.abc import Mapping, Sequence

from sandbox.errors import exclusive, no_such
from sandbox.operation import Operation, Page
from sandbox.parameters import CreatedFilter, Integer, Parameter, Text
from sandbox.store import Criteria
from sandbox.wire import Json

_LIMIT_DEFAULT = 10

PAGING: Mapping[str, Parameter] = {
    "limit": Integer(1, 100),
    "starting_after": Text(),
    "ending_before": Text(),
}
PAGING_AND_CREATED: Mapping[str, Parameter] = {**PAGING, "created": CreatedFilter()}


def find_page(
    op: Operation, kind: str, url: str, params: Json, links: Mapping[str, Sequence[str]] | None = None
) -> Page:
    """Raises ApiError 400 for two cursors at once, or for one that names nothing of this kind."""
    if "starting_after" in params and "ending_before" in params:
        raise exclusive("starting_after", "ending_before")
    limit = params.get("limit", _LIMIT_DEFAULT)
    created = params.get("created", {})
    criteria = Criteria(links or {}, created.get("from"), created.get("to"))
    if "ending_before" in params:
        newer_than = _position(op, kind, params, "ending_before")
        found = op.store.find(kind, criteria, limit=limit + 1, newer_than=newer_than)
        return Page(found[:limit][::-1], has_more=len(found) > limit, url=url)
    older_than = _position(op, kind, params, "starting_after") if "starting_after" in params else None
    found = op.store.find(kind, criteria, limit=limit + 1, older_than=older_than)
    return Page(found[:limit], has_more=len(found) > limit, url=url)


def links_asked_for(params: Json, *names: str) -> dict[str, list[str]]:
    """The filters among the parameters that are links of the listed objects under the same name."""
    return {name: [params[name]] for name in names if name in params}


def _position(op: Operation, kind: str, params: Json, param: str) -> int:
    record = op.get(kind, params[param])
    if record is None:
        raise no_such(kind, params[param], param, status=400)
    return record.seq
