"""PaymentMethods: made from test cards, attached to customers. https://docs.stripe.com/api/payment_methods"""

import re
from datetime import UTC, datetime

from sandbox.cards import SandboxCard, card_by_name, card_by_number, card_by_token, passes_luhn
from sandbox.errors import ApiError, exclusive, invalid, missing, no_such
from sandbox.listing import PAGING, find_page
from sandbox.operation import Answer, Call, Endpoint, Operation, Page, changed, merge_metadata
from sandbox.parameters import Choice, Email, Fields, Ignored, Integer, Metadata, Parameter, Text, Unsupported
from sandbox.rendering import render
from sandbox.store import Record
from sandbox.wire import Json

_ADDRESS_FIELDS = ("city", "country", "line1", "line2", "postal_code", "state")
ADDRESS = Fields({name: Text(unset=True) for name in _ADDRESS_FIELDS}, unset=True)
BILLING_DETAILS = Fields(
    {
        "address": ADDRESS,
        "email": Email(unset=True),
        "name": Text(unset=True),
        "phone": Text(unset=True),
        "tax_id": Text(unset=True),
    }
)
_CARD = Fields(
    {
        "number": Text(),
        "exp_month": Integer(),
        "exp_year": Integer(),
        "cvc": Text(),
        "token": Text(),
        "networks": Fields({"preferred": Choice(("cartes_bancaires", "mastercard", "visa"))}),
    }
)
ALLOW_REDISPLAY = Choice(("always", "limited", "unspecified"))
PAYMENT_METHOD_DATA_FIELDS: dict[str, Parameter] = {
    "type": Choice(("card",)),
    "card": _CARD,
    "billing_details": BILLING_DETAILS,
    "allow_redisplay": ALLOW_REDISPLAY,
    "metadata": Metadata(),
    "radar_options": Ignored(),
}
PAYMENT_METHOD_DATA = Fields(PAYMENT_METHOD_DATA_FIELDS, required=("type",))

# What a card that is named and not typed in expires: always the same month of next year.
_EXPIRY_MONTH = 12
_CVC_LENGTH = {"amex": 4}


def address(given: Json | None) -> Json:
    return {name: (given or {}).get(name) for name in _ADDRESS_FIELDS}


def billing_details(given: Json | None) -> Json:
    given = given or {}
    return {
        "address": address(given.get("address")),
        **{name: given.get(name) for name in ("email", "name", "phone", "tax_id")},
    }


def card_of(payment_method: Record) -> SandboxCard:
    return card_by_name(payment_method.private["card"])


def make(op: Operation, card: SandboxCard, params: Json, expiry: tuple[int, int] | None = None) -> Record:
    """A new PaymentMethod for the card, not attached to anybody. `expiry` is (month, year)."""
    month, year = expiry or (_EXPIRY_MONTH, _year(op) + 1)
    checks = {"address_line1_check": None, "address_postal_code_check": None, "cvc_check": "unchecked"}
    body: Json = {
        "allow_redisplay": params.get("allow_redisplay", "unspecified"),
        "billing_details": billing_details(params.get("billing_details")),
        "card": {
            "brand": card.brand,
            "checks": checks,
            "country": card.country,
            "display_brand": _display_brand(card.brand),
            "exp_month": month,
            "exp_year": year,
            "fingerprint": card.fingerprint,
            "funding": card.funding,
            "generated_from": None,
            "last4": card.last4,
            "networks": {"available": [card.brand], "preferred": None},
            "regulated_status": "unregulated",
            "three_d_secure_usage": {"supported": card.brand in {"visa", "mastercard", "amex", "discover"}},
            "wallet": None,
        },
        "customer": None,
        "customer_account": None,
        "metadata": merge_metadata({}, params.get("metadata", {})),
        "type": "card",
    }
    return op.add("payment_method", body, private={"card": card.name})


def _display_brand(brand: str) -> str:
    return {"amex": "american_express", "diners": "diners_club", "unionpay": "union_pay"}.get(brand, brand)


def _year(op: Operation) -> int:
    return datetime.fromtimestamp(op.now(), UTC).year


def make_from_data(op: Operation, params: Json, inside: str = "") -> Record:
    """From `type` and `card` as the API takes them; `inside` is the name of the hash they came in.

    Raises ApiError 400 for what is missing, 402 for a card that cannot be right.
    """
    card_param = f"{inside}[card]" if inside else "card"
    given: Json | None = params.get("card")
    if given is None:
        raise missing(card_param)
    if "token" in given:
        if "number" in given:
            raise exclusive(f"{card_param}[token]", f"{card_param}[number]")
        return make(op, _card_of_token(given["token"], f"{card_param}[token]"), params)
    for name in ("number", "exp_month", "exp_year"):
        if name not in given:
            raise missing(f"{card_param}[{name}]")
    card = _check_number(given["number"])
    month, year = given["exp_month"], given["exp_year"]
    year += 2000 if year < 100 else 0
    _check_expiry(op, month, year)
    cvc = given.get("cvc")
    if cvc is not None and not re.fullmatch(rf"[0-9]{{{_CVC_LENGTH.get(card.brand, 3)}}}", cvc):
        raise _card_error("invalid_cvc", "Your card's security code is invalid.", "cvc")
    return make(op, card, params, (month, year))


def _card_of_token(token: str, param: str) -> SandboxCard:
    card = card_by_token(token) if token.startswith("tok_") else None
    if card is None:
        raise no_such("token", token, param, status=400)
    return card


def _check_number(written: str) -> SandboxCard:
    number = re.sub(r"[ -]", "", written)
    if not re.fullmatch(r"[0-9]{12,19}", number):
        raise _card_error("invalid_number", "Your card number is invalid.", "number")
    if not passes_luhn(number):
        raise _card_error("incorrect_number", "Your card number is incorrect.", "number")
    card = card_by_number(number)
    if card is None:
        # A number that is nobody's test card may be somebody's real one: it is refused and appears nowhere.
        raise _card_error(
            "card_declined",
            "Your card was declined. Your request was in test mode, but used a non test (live) card. "
            "For a list of valid test cards, visit: https://stripe.com/docs/testing.",
            None,
            decline_code="test_mode_live_card",
        )
    return card


def _check_expiry(op: Operation, month: int, year: int) -> None:
    if not 1 <= month <= 12:
        raise _card_error("invalid_expiry_month", "Your card's expiration month is invalid.", "exp_month")
    today = datetime.fromtimestamp(op.now(), UTC)
    if year > today.year + 50 or year < today.year:
        raise _card_error("invalid_expiry_year", "Your card's expiration year is invalid.", "exp_year")
    if (year, month) < (today.year, today.month):
        raise _card_error("invalid_expiry_month", "Your card's expiration month is invalid.", "exp_month")


def _card_error(code: str, message: str, param: str | None, decline_code: str | None = None) -> ApiError:
    details = {"decline_code": decline_code} if decline_code else {}
    return ApiError(402, message, kind="card_error", code=code, param=param, details=details)


def resolve(op: Operation, payment_method_id: str, param: str, status: int = 400) -> Record:
    """The stored PaymentMethod, or a new one where a test id such as pm_card_visa is given, as Stripe does."""
    card = card_by_token(payment_method_id) if payment_method_id.startswith("pm_") else None
    if card is not None:
        return make(op, card, {})
    return op.require("payment_method", payment_method_id, param, status)


def attach_to(op: Operation, payment_method: Record, customer_id: str) -> None:
    payment_method.body["customer"] = customer_id
    op.save(payment_method)
    op.store.link(payment_method, "customer", customer_id)
    op.emit("payment_method.attached", render(op, payment_method))


def check_usable(payment_method: Record, customer_id: str | None) -> None:
    """Raises ApiError 400 for one that is another customer's, or that was used up or detached."""
    owner = payment_method.body["customer"]
    if owner is None and payment_method.private.get("used_up"):
        raise ApiError(
            400,
            "The provided PaymentMethod was previously used with a PaymentIntent without Customer attachment, shared "
            "with a connected account without Customer attachment, or was detached from a Customer. It may not be used "
            "again. To use a PaymentMethod multiple times, you must attach it to a Customer first.",
            param="payment_method",
        )
    if owner is not None and owner != customer_id:
        message = (
            "The provided PaymentMethod cannot be attached to this PaymentIntent: it belongs to a different Customer."
            if customer_id
            else f"The provided PaymentMethod belongs to the Customer {owner}. Please include the Customer in the "
            "`customer` parameter on the PaymentIntent."
        )
        raise ApiError(400, message, param="payment_method")


def _create(op: Operation, call: Call) -> Answer:
    if "payment_method" in call.params:
        raise invalid("The sandbox does not clone PaymentMethods between accounts.", param="payment_method")
    if "type" not in call.params:
        raise missing("type")
    return make_from_data(op, call.params)


def _retrieve(op: Operation, call: Call) -> Answer:
    return resolve(op, call.path["payment_method"], "payment_method", status=404)


def _update(op: Operation, call: Call) -> Answer:
    payment_method = op.require("payment_method", call.path["payment_method"], "payment_method")
    before = render(op, payment_method)
    body = payment_method.body = {**payment_method.body}
    if "metadata" in call.params:
        body["metadata"] = merge_metadata(body["metadata"], call.params["metadata"])
    if "billing_details" in call.params:
        given = call.params["billing_details"]
        merged = {**body["billing_details"], **given}
        merged["address"] = address({**body["billing_details"]["address"], **(given.get("address") or {})})
        body["billing_details"] = merged
    if "allow_redisplay" in call.params:
        body["allow_redisplay"] = call.params["allow_redisplay"]
    if expiry := call.params.get("card"):
        body["card"] = {**body["card"], **expiry}
        _check_expiry(op, body["card"]["exp_month"], body["card"]["exp_year"])
    op.save(payment_method)
    op.emit("payment_method.updated", render(op, payment_method), changed(before, payment_method.body))
    return payment_method


def _attach(op: Operation, call: Call) -> Answer:
    customer = op.require("customer", call.params["customer"], "customer", status=400)
    payment_method = resolve(op, call.path["payment_method"], "payment_method", status=404)
    if payment_method.body["customer"] not in {None, customer.id}:
        raise ApiError(400, "The payment method you provided has already been attached to a customer.")
    check_usable(payment_method, customer.id)
    if payment_method.body["customer"] is None:
        attach_to(op, payment_method, customer.id)
    return payment_method


def _detach(op: Operation, call: Call) -> Answer:
    payment_method = op.require("payment_method", call.path["payment_method"], "payment_method")
    if payment_method.body["customer"] is None:
        raise ApiError(
            400,
            "The payment method you provided is not attached to a customer so detachment is impossible.",
            param="payment_method",
        )
    detach(op, payment_method)
    return payment_method


def detach(op: Operation, payment_method: Record) -> None:
    previous = {"customer": payment_method.body["customer"]}
    payment_method.body["customer"] = None
    payment_method.private["used_up"] = True
    op.save(payment_method)
    op.store.link(payment_method, "customer", None)
    op.emit("payment_method.detached", render(op, payment_method), previous)


def _list(op: Operation, call: Call) -> Answer:
    if "customer" not in call.params:
        # Without a customer Stripe lists only PaymentMethods of platforms, which the sandbox has none of.
        return Page([], has_more=False, url="/v1/payment_methods")
    return _page(op, call.params, call.params["customer"], "/v1/payment_methods")


def _list_of_customer(op: Operation, call: Call) -> Answer:
    customer = call.path["customer"]
    return _page(op, call.params, customer, f"/v1/customers/{customer}/payment_methods")


def _page(op: Operation, params: Json, customer_id: str, url: str) -> Page:
    op.require("customer", customer_id, "customer")
    return find_page(op, "payment_method", url, params, {"customer": [customer_id]})


_LIST_FIELDS: dict[str, Parameter] = {**PAGING, "type": Choice(("card",)), "allow_redisplay": Unsupported()}
_KIND = "payment_method"

ENDPOINTS = (
    Endpoint(
        "POST",
        "/v1/payment_methods",
        _create,
        _KIND,
        Fields({**PAYMENT_METHOD_DATA_FIELDS, "payment_method": Text(), "customer": Text()}),
    ),
    Endpoint(
        "GET", "/v1/payment_methods", _list, _KIND, Fields({**_LIST_FIELDS, "customer": Text()}), answers_list=True
    ),
    Endpoint("GET", "/v1/payment_methods/{payment_method}", _retrieve, _KIND),
    Endpoint(
        "POST",
        "/v1/payment_methods/{payment_method}",
        _update,
        _KIND,
        Fields(
            {
                "allow_redisplay": ALLOW_REDISPLAY,
                "billing_details": BILLING_DETAILS,
                "card": Fields({"exp_month": Integer(), "exp_year": Integer()}),
                "metadata": Metadata(),
            }
        ),
    ),
    Endpoint(
        "POST",
        "/v1/payment_methods/{payment_method}/attach",
        _attach,
        _KIND,
        Fields({"customer": Text()}, required=("customer",)),
    ),
    Endpoint("POST", "/v1/payment_methods/{payment_method}/detach", _detach, _KIND),
    Endpoint(
        "GET",
        "/v1/customers/{customer}/payment_methods",
        _list_of_customer,
        _KIND,
        Fields(_LIST_FIELDS),
        answers_list=True,
    ),
)
