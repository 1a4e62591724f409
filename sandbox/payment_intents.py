"""PaymentIntents: create, read, update, list, confirm. https://docs.stripe.com/api/payment_intents"""

import re

from sandbox.confirmation import confirm
from sandbox.currencies import check_charge_amount, parse_currency
from sandbox.customers import SHIPPING, shipping
from sandbox.errors import ApiError, exclusive, invalid, unexpected_state
from sandbox.ids import new_id, random_text
from sandbox.listing import PAGING_AND_CREATED, find_page, links_asked_for
from sandbox.operation import Answer, Call, Endpoint, Operation, merge_metadata
from sandbox.parameters import (
    Choice,
    Email,
    Fields,
    Flag,
    Ignored,
    Integer,
    ListOf,
    Metadata,
    Parameter,
    Text,
    Unsupported,
    Url,
)
from sandbox.payment_methods import PAYMENT_METHOD_DATA, make_from_data, resolve
from sandbox.rendering import render
from sandbox.store import Record
from sandbox.wire import Json

_KIND = "payment_intent"
_UPDATABLE = ("requires_payment_method", "requires_confirmation", "requires_action")
# What may still change once the payment is on its way or over.
_ALWAYS_UPDATABLE = frozenset({"description", "metadata", "receipt_email", "shipping", "transfer_group"})
_CONFIRM_ONLY = ("error_on_requires_action", "off_session", "return_url", "use_stripe_sdk")
_SUFFIX = re.compile(r"(?=.*[A-Za-z])[^<>\\'\"*]+")

_CARD_OPTIONS = Fields(
    {
        "request_three_d_secure": Choice(("any", "automatic", "challenge")),
        "network": Unsupported(),
        "installments": Unsupported(),
        "capture_method": Unsupported(),
        "setup_future_usage": Unsupported(),
        "mandate_options": Unsupported(),
        "moto": Ignored(),
        "cvc_token": Unsupported(),
    },
    unset=True,
)
_CARD_OPTIONS_DEFAULT: Json = {
    "installments": None,
    "mandate_options": None,
    "network": None,
    "request_three_d_secure": "automatic",
}
_CAPTURE_METHOD = Choice(("automatic", "automatic_async", "manual"))
_SETUP_FUTURE_USAGE = Choice(("off_session", "on_session"), unset=True)

_CONFIRM_FIELDS: dict[str, Parameter] = {
    "allowed_payment_method_types": ListOf(Text()),
    "amount_details": Unsupported(),
    "amount_to_confirm": Unsupported(),
    "capture_method": _CAPTURE_METHOD,
    "confirmation_token": Unsupported(),
    "error_on_requires_action": Flag(),
    "excluded_payment_method_types": ListOf(Text(), unset=True),
    "hooks": Unsupported(),
    "mandate": Unsupported(),
    "mandate_data": Unsupported(),
    "off_session": Choice(("true", "false", "one_off", "recurring")),
    "payment_details": Unsupported(),
    "payment_method": Text(),
    "payment_method_data": PAYMENT_METHOD_DATA,
    "payment_method_options": Fields({"card": _CARD_OPTIONS}),
    "radar_options": Ignored(),
    "receipt_email": Email(unset=True),
    "return_url": Url(),
    "setup_future_usage": _SETUP_FUTURE_USAGE,
    "shipping": SHIPPING,
    "use_stripe_sdk": Flag(),
}
_UPDATE_FIELDS: dict[str, Parameter] = {
    **{
        name: parameter
        for name, parameter in _CONFIRM_FIELDS.items()
        if name not in {*_CONFIRM_ONLY, "amount_to_confirm", "confirmation_token", "mandate", "mandate_data"}
    },
    "amount": Integer(minimum=1),
    "application_fee_amount": Unsupported(),
    "currency": Text(),
    "customer": Text(),
    "customer_account": Unsupported(),
    "description": Text(length_max=1_000, unset=True),
    "metadata": Metadata(),
    "payment_method_configuration": Unsupported(),
    "payment_method_types": ListOf(Text()),
    "statement_descriptor": Text(length_max=22),
    "statement_descriptor_suffix": Text(length_max=22, unset=True),
    "transfer_data": Unsupported(),
    "transfer_group": Text(unset=True),
}
_CREATE_FIELDS: dict[str, Parameter] = {
    **_UPDATE_FIELDS,
    **{name: _CONFIRM_FIELDS[name] for name in (*_CONFIRM_ONLY, "confirmation_token", "mandate", "mandate_data")},
    "automatic_payment_methods": Fields(
        {"enabled": Flag(), "allow_redirects": Choice(("always", "never"))}, required=("enabled",)
    ),
    "confirm": Flag(),
    "confirmation_method": Choice(("automatic", "manual")),
    "on_behalf_of": Unsupported(),
}


def _create(op: Operation, call: Call) -> Answer:
    params = call.params
    currency = parse_currency(params["currency"])
    check_charge_amount(params["amount"], currency)
    wants_confirmation = params.get("confirm", False)
    for name in () if wants_confirmation else _CONFIRM_ONLY:
        if name in params:
            raise invalid(
                f"The parameter `{name}` cannot be passed when creating a PaymentIntent unless `confirm` is set to "
                "true.",
                param=name,
            )
    intent_id = new_id(_KIND)
    body: Json = {
        "allowed_payment_method_types": None,
        "amount": params["amount"],
        "amount_capturable": 0,
        "amount_details": {"tip": {}},
        "amount_received": 0,
        "application": None,
        "application_fee_amount": None,
        "automatic_payment_methods": _automatic(params),
        "canceled_at": None,
        "cancellation_reason": None,
        # Stripe's own default is automatic_async; see the documentation's list of differences.
        "capture_method": "automatic",
        "client_secret": f"{intent_id}_secret_{random_text(25)}",
        "confirmation_method": params.get("confirmation_method", "automatic"),
        "currency": currency,
        "customer": None,
        "customer_account": None,
        "description": None,
        "excluded_payment_method_types": None,
        "last_payment_error": None,
        "latest_charge": None,
        "managed_payments": None,
        "metadata": {},
        "next_action": None,
        "on_behalf_of": None,
        "payment_method": None,
        "payment_method_configuration_details": None,
        "payment_method_options": {"card": _CARD_OPTIONS_DEFAULT},
        "payment_method_types": ["card"],
        "processing": None,
        "receipt_email": None,
        "review": None,
        "setup_future_usage": None,
        "shipping": None,
        "source": None,
        "statement_descriptor": None,
        "statement_descriptor_suffix": None,
        "status": "requires_payment_method",
        "transfer_data": None,
        "transfer_group": None,
    }
    intent = op.add(_KIND, body, object_id=intent_id)
    _apply(op, intent, params)
    _choose_payment_method(op, intent, params)
    op.save(intent)
    op.store.link(intent, "customer", intent.body["customer"])
    op.emit("payment_intent.created", render(op, intent))
    if wants_confirmation:
        confirm(op, intent, {name: params[name] for name in _CONFIRM_ONLY if name in params})
    return intent


def _automatic(params: Json) -> Json | None:
    given = params.get("automatic_payment_methods")
    for chosen in ("payment_method_types", "allowed_payment_method_types"):
        if chosen in params:
            if given is not None and given["enabled"]:
                raise exclusive("automatic_payment_methods", chosen)
            return None
    if given is not None and not given["enabled"]:
        return None
    # Since API version 2023-08-16 they are enabled unless the request says otherwise.
    return {"allow_redirects": (given or {}).get("allow_redirects", "always"), "enabled": True}


def _apply(op: Operation, intent: Record, params: Json) -> None:
    """What create, update and confirm take alike. Raises ApiError 400."""
    body = intent.body
    for name in ("capture_method", "description", "receipt_email", "setup_future_usage", "transfer_group"):
        if name in params:
            body[name] = params[name]
    _choose_types(body, params)
    if "customer" in params:
        body["customer"] = op.require("customer", params["customer"], "customer", status=400).id
    if "metadata" in params:
        body["metadata"] = merge_metadata(body["metadata"], params["metadata"])
    if "shipping" in params:
        body["shipping"] = shipping(params["shipping"])
    if "statement_descriptor" in params:
        raise invalid(
            "The statement descriptor of a card payment cannot be replaced. Use statement_descriptor_suffix instead.",
            param="statement_descriptor",
        )
    if "statement_descriptor_suffix" in params:
        body["statement_descriptor_suffix"] = _checked_suffix(params["statement_descriptor_suffix"])
    options = params.get("payment_method_options", {}).get("card")
    if options is not None:
        chosen = {name: value for name, value in options.items() if name in _CARD_OPTIONS_DEFAULT}
        body["payment_method_options"] = {"card": {**body["payment_method_options"]["card"], **chosen}}


def _choose_types(body: Json, params: Json) -> None:
    """Cards are the one type there is, so these parameters can only keep it or leave nothing."""
    ways = ("payment_method_types", "allowed_payment_method_types", "excluded_payment_method_types")
    given = [name for name in ways if name in params]
    if len(given) > 1:
        raise exclusive(*given)
    _check_types(params.get("payment_method_types", ["card"]))
    allowed = params.get("allowed_payment_method_types", ["card"])
    excluded = params.get("excluded_payment_method_types") or []
    if "card" not in allowed or "card" in excluded:
        raise invalid("No payment method types are left for this PaymentIntent.", param=given[0])
    if "allowed_payment_method_types" in params:
        body["allowed_payment_method_types"] = allowed
        body["automatic_payment_methods"] = None
    if "excluded_payment_method_types" in params:
        body["excluded_payment_method_types"] = excluded or None


def _check_types(types: list[str]) -> None:
    if not types:
        raise invalid("You must provide at least one payment method type.", param="payment_method_types")
    for name in types:
        if name != "card":
            raise invalid(
                f"The payment method type provided: {name} is invalid. Please ensure the provided type is activated "
                "in your dashboard (https://dashboard.stripe.com/account/payments/settings) and your account is "
                "enabled for any preview features that you are trying to use.",
                param="payment_method_types",
            )


def _checked_suffix(suffix: str | None) -> str | None:
    if suffix is not None and not _SUFFIX.fullmatch(suffix):
        raise invalid(
            "The statement descriptor suffix must contain at least one letter and none of < > \\ ' \" *",
            param="statement_descriptor_suffix",
        )
    return suffix


def _choose_payment_method(op: Operation, intent: Record, params: Json) -> None:
    if "payment_method" in params and "payment_method_data" in params:
        raise exclusive("payment_method", "payment_method_data")
    if "payment_method_data" in params:
        chosen = make_from_data(op, params["payment_method_data"], "payment_method_data")
    elif "payment_method" in params:
        chosen = resolve(op, params["payment_method"], "payment_method")
    else:
        return
    intent.body |= {"payment_method": chosen.id, "next_action": None, "status": "requires_confirmation"}


def _retrieve(op: Operation, call: Call) -> Answer:
    intent = op.require(_KIND, call.path["intent"], "intent")
    secret = call.params.get("client_secret")
    if secret is not None and secret != intent.body["client_secret"]:
        raise ApiError(
            400,
            "The client_secret provided does not match the client_secret associated with the PaymentIntent.",
            param="client_secret",
        )
    return intent


def _update(op: Operation, call: Call) -> Answer:
    intent = op.require(_KIND, call.path["intent"], "intent")
    params, body = call.params, intent.body
    frozen = sorted(set(params) - _ALWAYS_UPDATABLE)
    if frozen and body["status"] not in _UPDATABLE:
        raise unexpected_state(
            f"This PaymentIntent's {frozen[0]} could not be updated because it has a status of {body['status']}. You "
            f"may only update the {frozen[0]} of a PaymentIntent with one of the following statuses: "
            f"{', '.join(_UPDATABLE)}.",
            render(op, intent),
        )
    _apply(op, intent, params)
    if "amount" in params or "currency" in params:
        currency = parse_currency(params["currency"]) if "currency" in params else body["currency"]
        amount = params["amount"] if "amount" in params else body["amount"]
        check_charge_amount(amount, currency)
        body |= {"amount": amount, "currency": currency}
        if body["status"] == "requires_action":
            # What the payer was asked to agree to is no longer what will be charged.
            body |= {"next_action": None, "status": "requires_confirmation"}
    _choose_payment_method(op, intent, params)
    op.save(intent)
    op.store.link(intent, "customer", body["customer"])
    return intent


def _confirm(op: Operation, call: Call) -> Answer:
    intent = op.require(_KIND, call.path["intent"], "intent")
    params = call.params
    if "payment_method" in params and "payment_method_data" in params:
        raise exclusive("payment_method", "payment_method_data")
    if intent.body["status"] in _UPDATABLE:
        _apply(op, intent, params)
    confirm(op, intent, params)
    return intent


def _list(op: Operation, call: Call) -> Answer:
    links = links_asked_for(call.params, "customer")
    return find_page(op, _KIND, "/v1/payment_intents", call.params, links)


ENDPOINTS = (
    Endpoint("POST", "/v1/payment_intents", _create, _KIND, Fields(_CREATE_FIELDS, required=("amount", "currency"))),
    Endpoint(
        "GET",
        "/v1/payment_intents",
        _list,
        _KIND,
        Fields({**PAGING_AND_CREATED, "customer": Text()}),
        answers_list=True,
    ),
    Endpoint("GET", "/v1/payment_intents/{intent}", _retrieve, _KIND, Fields({"client_secret": Text()})),
    Endpoint("POST", "/v1/payment_intents/{intent}", _update, _KIND, Fields(_UPDATE_FIELDS)),
    Endpoint("POST", "/v1/payment_intents/{intent}/confirm", _confirm, _KIND, Fields(_CONFIRM_FIELDS)),
)
