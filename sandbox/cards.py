"""The test cards: which outcome each one is for. https://docs.stripe.com/testing

A card is known by its number or by the name behind `pm_card_` and `tok_`. The number is only looked up here; what is
stored of a card is the name, the last four digits and a fingerprint.
"""

import hashlib
from dataclasses import dataclass, replace
from typing import Literal

Authentication = Literal["never", "optional", "unless_set_up", "set_up", "always"]
Aftermath = Literal["none", "dispute_fraudulent", "dispute_not_received", "inquiry"]
RefundOutcome = Literal["succeeds", "pending_first", "fails_later"]


@dataclass(frozen=True, slots=True)
class Decline:
    code: str
    decline_code: str
    message: str
    param: str | None = None
    advice: str = "try_again_later"
    # Refused by fraud rules before it reached the issuer.
    blocked: bool = False


@dataclass(frozen=True, slots=True)
class SandboxCard:
    """`authentication` is when 3-D Secure is demanded; `declined_after_authentication` comes once it succeeded."""

    name: str
    number: str
    brand: str = "visa"
    funding: str = "credit"
    country: str = "US"
    decline: Decline | None = None
    authentication: Authentication = "never"
    declined_after_authentication: Decline | None = None
    aftermath: Aftermath = "none"
    refund: RefundOutcome = "succeeds"
    settles_at_once: bool = False
    stays_processing: bool = False
    checks: tuple[tuple[str, str], ...] = ()
    risk: Literal["normal", "elevated", "highest"] = "normal"

    @property
    def last4(self) -> str:
        return self.number[-4:]

    @property
    def fingerprint(self) -> str:
        """The same for the same number, as Stripe's is within an account."""
        return hashlib.sha256(f"florin-sandbox:{self.number}".encode()).hexdigest()[:16]


GENERIC = Decline("card_declined", "generic_decline", "Your card was declined.")
_FUNDS = Decline("card_declined", "insufficient_funds", "Your card has insufficient funds.")
_LOST = Decline("card_declined", "lost_card", "Your card was declined.", advice="do_not_try_again")
_STOLEN = Decline("card_declined", "stolen_card", "Your card was declined.", advice="do_not_try_again")
_FRAUD = Decline("card_declined", "fraudulent", "Your card was declined.", advice="do_not_try_again", blocked=True)
_VELOCITY = Decline(
    "card_declined",
    "card_velocity_exceeded",
    "Your card was declined for making repeated attempts too frequently or exceeding its amount limit.",
)
_EXPIRED = Decline("expired_card", "expired_card", "Your card has expired.", "exp_month", "do_not_try_again")
_CVC = Decline("incorrect_cvc", "incorrect_cvc", "Your card's security code is incorrect.", "cvc", "confirm_card_data")
_PROCESSING = Decline(
    "processing_error",
    "processing_error",
    "An error occurred while processing your card. Try again in a little bit.",
)
AUTHENTICATION_REQUIRED = Decline(
    "authentication_required",
    "authentication_required",
    "Your card was declined. This transaction requires authentication.",
)

_VISA = SandboxCard("visa", "4242424242424242")

_BRANDS = (
    _VISA,
    SandboxCard("visa_debit", "4000056655665556", funding="debit"),
    SandboxCard("mastercard", "5555555555554444", "mastercard"),
    SandboxCard("mastercard_debit", "5200828282828210", "mastercard", "debit"),
    SandboxCard("mastercard_prepaid", "5105105105105100", "mastercard", "prepaid"),
    SandboxCard("amex", "378282246310005", "amex"),
    SandboxCard("discover", "6011111111111117", "discover"),
    SandboxCard("diners", "3056930009020004", "diners"),
    SandboxCard("jcb", "3566002020360505", "jcb", country="JP"),
    SandboxCard("unionpay", "6200000000000005", "unionpay", country="CN"),
    SandboxCard("mastercard_series2", "2223003122003222", "mastercard"),
    SandboxCard("amex_second", "371449635398431", "amex"),
    SandboxCard("discover_second", "6011000990139424", "discover"),
    SandboxCard("diners_short", "36227206271667", "diners"),
)
_COUNTRY_NUMBERS = {
    "AU": "4000000360000006",
    "BR": "4000000760000002",
    "CA": "4000001240000000",
    "DE": "4000002760000016",
    "ES": "4000007240000007",
    "FR": "4000002500000003",
    "GB": "4000008260000000",
    "IE": "4000003720000005",
    "IT": "4000003800000008",
    "JP": "4000003920000003",
    "MX": "4000004840008001",
    "SG": "4000007020000003",
}
_COUNTRIES = (
    replace(_VISA, name="us"),
    *(SandboxCard(country.lower(), number, country=country) for country, number in _COUNTRY_NUMBERS.items()),
)
_DECLINES = (
    SandboxCard("visa_chargeDeclined", "4000000000000002", decline=GENERIC),
    SandboxCard("visa_chargeDeclinedInsufficientFunds", "4000000000009995", decline=_FUNDS),
    SandboxCard("visa_chargeDeclinedLostCard", "4000000000009987", decline=_LOST),
    SandboxCard("visa_chargeDeclinedStolenCard", "4000000000009979", decline=_STOLEN),
    SandboxCard("visa_chargeDeclinedVelocityLimitExceeded", "4000000000006975", decline=_VELOCITY),
    SandboxCard("chargeDeclinedExpiredCard", "4000000000000069", decline=_EXPIRED),
    SandboxCard("chargeDeclinedIncorrectCvc", "4000000000000127", decline=_CVC),
    SandboxCard("chargeDeclinedProcessingError", "4000000000000119", decline=_PROCESSING),
    SandboxCard("chargeCustomerFail", "4000000000000341", decline=GENERIC),
    SandboxCard("radarBlock", "4100000000000019", decline=_FRAUD, risk="highest"),
    SandboxCard("riskLevelHighest", "4000000000004954", decline=_FRAUD, risk="highest"),
    SandboxCard("riskLevelElevated", "4000000000009235", risk="elevated"),
    SandboxCard("cvcCheckFail", "4000000000000101", checks=(("cvc_check", "fail"),)),
    SandboxCard(
        "avsFail",
        "4000000000000010",
        checks=(("address_line1_check", "fail"), ("address_postal_code_check", "fail")),
    ),
    SandboxCard("avsZipFail", "4000000000000036", checks=(("address_postal_code_check", "fail"),)),
    SandboxCard("avsLine1Fail", "4000000000000028", checks=(("address_line1_check", "fail"),)),
    SandboxCard("avsUnchecked", "4000000000000044", checks=(("address_line1_check", "unavailable"),)),
)
_AUTHENTICATED = (
    SandboxCard("authenticationRequired", "4000002760003184", country="DE", authentication="always"),
    SandboxCard("authenticationRequiredOnSetup", "4000002500003155", country="FR", authentication="unless_set_up"),
    SandboxCard("authenticationRequiredSetupForOffSession", "4000003800000446", country="IT", authentication="set_up"),
    SandboxCard(
        "authenticationRequiredChargeDeclinedInsufficientFunds",
        "4000008260003178",
        country="GB",
        authentication="always",
        declined_after_authentication=_FUNDS,
    ),
    SandboxCard("threeDSecure2Required", "4000000000003220", authentication="always"),
    SandboxCard("threeDSecureRequired", "4000000000003063", authentication="always"),
    SandboxCard(
        "threeDSecureRequiredChargeDeclined",
        "4000008400001629",
        authentication="always",
        declined_after_authentication=GENERIC,
    ),
    SandboxCard(
        "threeDSecureRequiredProcessingError",
        "4000008400001280",
        authentication="always",
        declined_after_authentication=_PROCESSING,
    ),
    SandboxCard("threeDSecureOptional", "4000000000003055", authentication="optional"),
    SandboxCard("amex_threeDSecureNotSupported", "378282246310005", "amex"),
)
_AFTERMATHS = (
    SandboxCard("createDispute", "4000000000000259", aftermath="dispute_fraudulent"),
    SandboxCard("createDisputeProductNotReceived", "4000000000002685", aftermath="dispute_not_received"),
    SandboxCard("createDisputeInquiry", "4000000000001976", aftermath="inquiry"),
    SandboxCard("pendingRefund", "4000000000007726", refund="pending_first"),
    SandboxCard("refundFail", "4000000000005126", refund="fails_later"),
    SandboxCard("bypassPending", "4000000000000077", settles_at_once=True),
)
CARDS = (*_BRANDS, *_COUNTRIES, *_DECLINES, *_AUTHENTICATED, *_AFTERMATHS)

# Of the sandbox alone: real cards never stay `processing`, but a gateway must survive a payment method that does.
PROCESSING_PAYMENT_METHOD = "pm_sandbox_processing"
_PROCESSING_CARD = SandboxCard("sandbox_processing", "4000000000000000", stays_processing=True)

# Names that Stripe's older pages give to the same cards.
_OLDER_NAMES = {
    "chargeDeclined": "visa_chargeDeclined",
    "chargeDeclinedInsufficientFunds": "visa_chargeDeclinedInsufficientFunds",
    "chargeDeclinedLostCard": "visa_chargeDeclinedLostCard",
    "chargeDeclinedStolenCard": "visa_chargeDeclinedStolenCard",
    "chargeDeclinedVelocityLimitExceeded": "visa_chargeDeclinedVelocityLimitExceeded",
    "chargeDeclinedFraudulent": "radarBlock",
    "visa_chargeDeclinedExpiredCard": "chargeDeclinedExpiredCard",
    "visa_chargeDeclinedIncorrectCvc": "chargeDeclinedIncorrectCvc",
    "visa_chargeDeclinedProcessingError": "chargeDeclinedProcessingError",
    "visa_chargeDeclinedFraudulent": "radarBlock",
    "authenticationRequiredOnsetup": "authenticationRequiredOnSetup",
    "debit_visa": "visa_debit",
}

_BY_NAME = {card.name: card for card in (*CARDS, _PROCESSING_CARD)}
_BY_NUMBER = {card.number: card for card in reversed(CARDS)}


def card_by_number(number: str) -> SandboxCard | None:
    return _BY_NUMBER.get(number)


def card_by_name(name: str) -> SandboxCard:
    """The card behind a stored name."""
    return _BY_NAME[name]


def card_by_token(token: str) -> SandboxCard | None:
    """`pm_card_visa`, `tok_visa` and their kin; None for anything else."""
    if token == PROCESSING_PAYMENT_METHOD:
        return _PROCESSING_CARD
    for prefix in ("pm_card_", "tok_"):
        if token.startswith(prefix):
            name = token.removeprefix(prefix)
            card = _BY_NAME.get(_OLDER_NAMES.get(name, name))
            return card if card is not None and not card.stays_processing else None
    return None


def passes_luhn(number: str) -> bool:
    """The check digit of ISO/IEC 7812."""
    total = 0
    for position, digit in enumerate(reversed(number)):
        value = int(digit) * (2 if position % 2 else 1)
        total += value - 9 if value > 9 else value
    return total % 10 == 0
