"""Customers, as far as payments need them. https://docs.stripe.com/api/customers"""

from sandbox.ids import random_text
from sandbox.listing import PAGING_AND_CREATED, find_page, links_asked_for
from sandbox.operation import Answer, Call, Endpoint, Operation, changed, merge_metadata
from sandbox.parameters import Choice, Email, Fields, ListOf, Metadata, Parameter, Text
from sandbox.payment_methods import ADDRESS, address, attach_to, check_usable, detach, resolve
from sandbox.rendering import render
from sandbox.store import Criteria
from sandbox.wire import Json

SHIPPING = Fields(
    {
        "address": ADDRESS,
        "name": Text(),
        "phone": Text(unset=True),
        "carrier": Text(unset=True),
        "tracking_number": Text(unset=True),
    },
    required=("address", "name"),
    unset=True,
)


def shipping(given: Json | None) -> Json | None:
    if given is None:
        return None
    return {
        "address": address(given["address"]),
        "carrier": given.get("carrier"),
        "name": given["name"],
        "phone": given.get("phone"),
        "tracking_number": given.get("tracking_number"),
    }


_FIELDS: dict[str, Parameter] = {
    "address": ADDRESS,
    "description": Text(unset=True),
    "email": Email(unset=True),
    "invoice_settings": Fields({"default_payment_method": Text(unset=True)}),
    "metadata": Metadata(),
    "name": Text(unset=True),
    "phone": Text(unset=True),
    "preferred_locales": ListOf(Text(), unset=True),
    "shipping": SHIPPING,
    "tax_exempt": Choice(("exempt", "none", "reverse"), unset=True),
}


def _apply(op: Operation, body: Json, params: Json) -> None:
    for name in ("description", "email", "name", "phone"):
        if name in params:
            body[name] = params[name]
    if "address" in params:
        body["address"] = None if params["address"] is None else address(params["address"])
    if "shipping" in params:
        given = shipping(params["shipping"])
        body["shipping"] = None if given is None else {key: given[key] for key in ("address", "name", "phone")}
    if "metadata" in params:
        body["metadata"] = merge_metadata(body["metadata"], params["metadata"])
    if "preferred_locales" in params:
        body["preferred_locales"] = params["preferred_locales"] or []
    if "tax_exempt" in params:
        body["tax_exempt"] = params["tax_exempt"] or "none"
    if "invoice_settings" in params:
        default = params["invoice_settings"].get("default_payment_method")
        if default is not None:
            op.require("payment_method", default, "invoice_settings[default_payment_method]", status=400)
        body["invoice_settings"] = {**body["invoice_settings"], "default_payment_method": default}


def _create(op: Operation, call: Call) -> Answer:
    body: Json = {
        "address": None,
        "balance": 0,
        "currency": None,
        "customer_account": None,
        "default_source": None,
        "delinquent": False,
        "description": None,
        "discount": None,
        "email": None,
        "invoice_prefix": random_text(8).upper(),
        "invoice_settings": {
            "custom_fields": None,
            "default_payment_method": None,
            "footer": None,
            "rendering_options": None,
        },
        "metadata": {},
        "name": None,
        "next_invoice_sequence": 1,
        "phone": None,
        "preferred_locales": [],
        "shipping": None,
        "tax_exempt": "none",
        "test_clock": None,
    }
    _apply(op, body, call.params)
    customer = op.add("customer", body, links={"email": body["email"]})
    op.emit("customer.created", render(op, customer))
    if "payment_method" in call.params:
        payment_method = resolve(op, call.params["payment_method"], "payment_method")
        check_usable(payment_method, customer.id)
        attach_to(op, payment_method, customer.id)
    return customer


def _retrieve(op: Operation, call: Call) -> Answer:
    if (deleted := op.get("deleted_customer", call.path["customer"])) is not None:
        return deleted
    return op.require("customer", call.path["customer"], "id")


def _update(op: Operation, call: Call) -> Answer:
    customer = op.require("customer", call.path["customer"], "id")
    before = render(op, customer)
    customer.body = {**customer.body}
    _apply(op, customer.body, call.params)
    op.save(customer)
    op.store.link(customer, "email", customer.body["email"])
    op.emit("customer.updated", render(op, customer), changed(before, customer.body))
    return customer


def _delete(op: Operation, call: Call) -> Answer:
    customer = op.require("customer", call.path["customer"], "id")
    for payment_method in op.store.find("payment_method", Criteria({"customer": [customer.id]})):
        detach(op, payment_method)
    op.emit("customer.deleted", render(op, customer))
    op.store.delete(customer)
    # What stays is the stub by which Stripe still answers for a deleted customer.
    stub = op.add("deleted_customer", {}, object_id=customer.id)
    stub.body = {"id": customer.id, "object": "customer", "deleted": True}
    op.save(stub)
    return stub


def _list(op: Operation, call: Call) -> Answer:
    return find_page(op, "customer", "/v1/customers", call.params, links_asked_for(call.params, "email"))


_KIND = "customer"

ENDPOINTS = (
    Endpoint("POST", "/v1/customers", _create, _KIND, Fields({**_FIELDS, "payment_method": Text()})),
    Endpoint("GET", "/v1/customers", _list, _KIND, Fields({**PAGING_AND_CREATED, "email": Text()}), answers_list=True),
    Endpoint("GET", "/v1/customers/{customer}", _retrieve, _KIND),
    Endpoint("POST", "/v1/customers/{customer}", _update, _KIND, Fields(_FIELDS)),
    Endpoint("DELETE", "/v1/customers/{customer}", _delete, _KIND),
)
