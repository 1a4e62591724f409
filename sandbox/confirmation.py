"""Confirming a PaymentIntent, and every way in which that can end. https://docs.stripe.com/payments/paymentintents/lifecycle

The ends are: charged, held for capture, declined, an action demanded of the payer, or `processing` until told.
"""

from sandbox.cards import AUTHENTICATION_REQUIRED, Decline, SandboxCard
from sandbox.charges import AUTHORIZATION_SECONDS, ThreeDSecure, attempt, settle_ledger
from sandbox.errors import ApiError, doc_url, unexpected_state
from sandbox.ids import new_id, random_text
from sandbox.operation import Operation
from sandbox.payment_methods import attach_to, card_of, check_usable, make_from_data, resolve
from sandbox.rendering import render
from sandbox.store import Record
from sandbox.wire import Json

_CONFIRMABLE = ("requires_payment_method", "requires_confirmation", "requires_action")
_DISPUTING = {
    "dispute_fraudulent": "dispute.open_fraudulent",
    "dispute_not_received": "dispute.open_not_received",
    "inquiry": "dispute.open_inquiry",
}
_AUTHENTICATION_FAILED = (
    "The provided PaymentMethod has failed authentication. You can provide payment_method_data or a new PaymentMethod "
    "to attempt to fulfill this PaymentIntent again."
)


def confirm(op: Operation, intent: Record, params: Json) -> None:
    """Raises ApiError 400 where the intent cannot be confirmed, 402 where the payment is declined."""
    _check_confirmable(op, intent)
    payment_method = _payment_method(op, intent, params)
    check_usable(payment_method, intent.body["customer"])
    _check_return_url(op, intent, params)
    intent.body |= {"payment_method": payment_method.id, "last_payment_error": None, "next_action": None}
    intent.private = {"return_url": params.get("return_url")}
    card = card_of(payment_method)
    off_session = _off_session(params)
    if _must_authenticate(intent, payment_method, card, off_session=off_session):
        if off_session:
            raise decline(op, intent, payment_method, AUTHENTICATION_REQUIRED)
        if params.get("error_on_requires_action"):
            raise _refuse_action(op, intent, payment_method)
        _demand_action(op, intent, use_stripe_sdk=params.get("use_stripe_sdk", False))
        return
    charge_now(op, intent, payment_method, card.decline)


def _off_session(params: Json) -> bool:
    return bool(params.get("off_session", "false") != "false")


def _check_confirmable(op: Operation, intent: Record) -> None:
    status = intent.body["status"]
    if status == "succeeded":
        raise unexpected_state(
            "You cannot confirm this PaymentIntent because it has already succeeded after being previously confirmed.",
            render(op, intent),
        )
    if status not in _CONFIRMABLE:
        raise unexpected_state(
            f"You cannot confirm this PaymentIntent because it has a status of {status}. Only a PaymentIntent with one "
            "of the following statuses may be confirmed: requires_confirmation, requires_action.",
            render(op, intent),
        )


def _payment_method(op: Operation, intent: Record, params: Json) -> Record:
    if "payment_method_data" in params:
        return make_from_data(op, params["payment_method_data"], "payment_method_data")
    named = params.get("payment_method") or intent.body["payment_method"]
    if named is None:
        raise unexpected_state(
            "You cannot confirm this PaymentIntent because it's missing a payment method. You can either update the "
            "PaymentIntent with a payment method and then confirm it again, or confirm it again directly with a "
            "payment method or ConfirmationToken.",
            render(op, intent),
        )
    return resolve(op, named, "payment_method")


def _check_return_url(op: Operation, intent: Record, params: Json) -> None:
    automatic = intent.body["automatic_payment_methods"]
    if automatic is None or automatic["allow_redirects"] == "never":
        return
    if "return_url" in params or params.get("use_stripe_sdk") or _off_session(params):
        return
    raise ApiError(
        400,
        "This PaymentIntent is configured to accept payment methods enabled in your Dashboard. Because some of these "
        "payment methods might redirect your customer off of your page, you must provide a `return_url`. If you don't "
        "want to accept redirect-based payment methods, set `automatic_payment_methods[enabled]` to `true` and "
        "`automatic_payment_methods[allow_redirects]` to `never` when creating Setup Intents and Payment Intents.",
        param="return_url",
        details={"payment_intent": render(op, intent)},
    )


def _must_authenticate(intent: Record, payment_method: Record, card: SandboxCard, *, off_session: bool) -> bool:
    requested = intent.body["payment_method_options"].get("card", {}).get("request_three_d_secure")
    if requested in {"any", "challenge"} and card.authentication != "never":
        return True
    match card.authentication:
        case "always":
            return True
        case "unless_set_up":
            return not payment_method.private.get("set_up")
        case "set_up":
            return not off_session
        case _:
            return False


def _demand_action(op: Operation, intent: Record, *, use_stripe_sdk: bool) -> None:
    source = new_id("source")
    url = f"{op.base_url}/3ds/{source}"
    intent.private |= {"source": source, "token": random_text(32)}
    op.store.link(intent, "source", source)
    return_url = intent.private["return_url"]
    if return_url and not use_stripe_sdk:
        action: Json = {"redirect_to_url": {"return_url": return_url, "url": url}, "type": "redirect_to_url"}
    else:
        # A page that runs Stripe.js would go to `stripe_js`; anybody else may open it as well.
        action = {
            "type": "use_stripe_sdk",
            "use_stripe_sdk": {"source": source, "stripe_js": url, "type": "three_d_secure_redirect"},
        }
    intent.body |= {"next_action": action, "status": "requires_action"}
    op.save(intent)
    op.emit("payment_intent.requires_action", render(op, intent))


def _refuse_action(op: Operation, intent: Record, payment_method: Record) -> ApiError:
    return _fail(
        op,
        intent,
        payment_method,
        {
            "code": "authentication_required",
            "decline_code": "authentication_not_handled",
            "doc_url": doc_url("authentication_required"),
            "message": "This payment required an authentication action to complete, but `error_on_requires_action` "
            "was set. When you're ready, you can upgrade your integration to handle actions at "
            "https://stripe.com/docs/payments/payment-intents/upgrade-to-handle-actions.",
            "type": "card_error",
        },
    )


def charge_now(
    op: Operation,
    intent: Record,
    payment_method: Record,
    declined: Decline | None,
    three_d_secure: ThreeDSecure | None = None,
) -> None:
    """Take the money, hold it, or leave the intent processing. Raises ApiError 402 if the card is declined."""
    if declined is not None:
        raise decline(op, intent, payment_method, declined, three_d_secure)
    charge = attempt(op, intent, payment_method, None, three_d_secure)
    intent.body |= {"latest_charge": charge.id, "payment_method": payment_method.id, "next_action": None}
    if card_of(payment_method).stays_processing:
        intent.body |= {"processing": {"type": "card"}, "status": "processing"}
        op.save(intent)
        op.emit("charge.pending", render(op, charge))
        op.emit("payment_intent.processing", render(op, intent))
        return
    _payment_done(op, intent, payment_method, charge)


def _payment_done(op: Operation, intent: Record, payment_method: Record, charge: Record) -> None:
    held = not charge.body["captured"]
    intent.body |= {
        "amount_capturable": charge.body["amount"] if held else 0,
        "amount_received": 0 if held else charge.body["amount"],
        "processing": None,
        "status": "requires_capture" if held else "succeeded",
    }
    op.save(intent)
    op.emit("charge.succeeded", render(op, charge))
    if held:
        op.emit("payment_intent.amount_capturable_updated", render(op, intent))
        op.schedule("payment_intent.expire", intent.id, AUTHORIZATION_SECONDS)
    else:
        op.emit("payment_intent.succeeded", render(op, intent))
    _keep_payment_method(op, intent, payment_method)
    aftermath = card_of(payment_method).aftermath
    if aftermath != "none" and not held:
        op.schedule(_DISPUTING[aftermath], charge.id, op.settlement_delay_seconds)


def _keep_payment_method(op: Operation, intent: Record, payment_method: Record) -> None:
    """A PaymentMethod is attached if the payment was to set it up; else, without a customer, it is used up."""
    customer_id, usage = intent.body["customer"], intent.body["setup_future_usage"]
    if payment_method.body["customer"] is None and not (customer_id and usage):
        payment_method.private["used_up"] = True
        op.save(payment_method)
        return
    if usage == "off_session":
        payment_method.private["set_up"] = True
        op.save(payment_method)
    if payment_method.body["customer"] is None:
        attach_to(op, payment_method, customer_id)


def decline(
    op: Operation,
    intent: Record,
    payment_method: Record,
    declined: Decline,
    three_d_secure: ThreeDSecure | None = None,
) -> ApiError:
    """Record a failed charge; the intent asks for another payment method. Returns the 402 to raise."""
    charge = attempt(op, intent, payment_method, declined, three_d_secure)
    return decline_charge(op, intent, payment_method, charge, declined)


def decline_charge(
    op: Operation, intent: Record, payment_method: Record, charge: Record, declined: Decline
) -> ApiError:
    intent.body["latest_charge"] = charge.id
    op.emit("charge.failed", render(op, charge))
    error: Json = {
        "advice_code": declined.advice,
        "charge": charge.id,
        "code": declined.code,
        "decline_code": declined.decline_code,
        "doc_url": doc_url(declined.code),
        "message": declined.message,
        "type": "card_error",
    }
    if declined.param is not None:
        error["param"] = declined.param
    return _fail(op, intent, payment_method, error)


def fail_authentication(op: Operation, intent: Record, payment_method: Record) -> None:
    """The payer could not prove who they are: no charge was made."""
    code = "payment_intent_authentication_failure"
    _fail(
        op,
        intent,
        payment_method,
        {
            "code": code,
            "doc_url": doc_url(code),
            "message": _AUTHENTICATION_FAILED,
            "type": "invalid_request_error",
        },
    )


def _fail(op: Operation, intent: Record, payment_method: Record, error: Json) -> ApiError:
    shown_method = render(op, payment_method)
    intent.body |= {
        "last_payment_error": {**error, "payment_method": shown_method},
        "next_action": None,
        "payment_method": None,
        "processing": None,
        "status": "requires_payment_method",
    }
    op.save(intent)
    shown_intent = render(op, intent)
    op.emit("payment_intent.payment_failed", shown_intent)
    details = {
        **{key: value for key, value in error.items() if key not in {"message", "type", "code", "param"}},
        "payment_intent": shown_intent,
        "payment_method": shown_method,
    }
    return ApiError(
        402,
        error["message"],
        kind=error["type"],
        code=error["code"],
        param=error.get("param"),
        details=details,
        commits=True,
    )


def settle_processing(op: Operation, intent: Record, *, succeeds: bool) -> None:
    """Tell a PaymentIntent that stayed `processing` how it ended. Raises ApiError 400 for any other."""
    if intent.body["status"] != "processing":
        raise unexpected_state(
            f"This PaymentIntent has a status of {intent.body['status']}; only one that is processing can be settled.",
            render(op, intent),
        )
    charge = op.require("charge", intent.body["latest_charge"], "id")
    payment_method = op.require("payment_method", intent.body["payment_method"], "payment_method")
    if not succeeds:
        failure = {"failure_code": "card_declined", "failure_message": "Your card was declined.", "status": "failed"}
        charge.body |= failure
        op.save(charge)
        declined = Decline("card_declined", "generic_decline", failure["failure_message"])
        # The refusal is meant for the payer, who is not asking: only what it recorded matters here.
        decline_charge(op, intent, payment_method, charge, declined)
        return
    charge.body |= {"paid": True, "status": "succeeded"}
    if intent.body["capture_method"] != "manual":
        charge.body |= {"amount_captured": charge.body["amount"], "captured": True}
        settle_ledger(op, intent, charge, card_of(payment_method))
    op.save(charge)
    _payment_done(op, intent, payment_method, charge)
