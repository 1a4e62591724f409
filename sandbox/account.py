"""The one account that the sandbox's keys belong to. https://docs.stripe.com/api/accounts"""

from sandbox.charges import STATEMENT_NAME
from sandbox.currencies import HOME
from sandbox.ids import new_id
from sandbox.operation import Answer, Call, Endpoint, Operation
from sandbox.wire import Json

MERCHANT_NAME = "Florin Sandbox"


def _retrieve(op: Operation, _call: Call) -> Answer:
    account_id, created = _identity(op)
    return {
        "id": account_id,
        "object": "account",
        "business_profile": {
            "annual_revenue": None,
            "estimated_worker_count": None,
            "mcc": None,
            "minority_owned_business_designation": None,
            "name": MERCHANT_NAME,
            "product_description": None,
            "support_address": None,
            "support_email": None,
            "support_phone": None,
            "support_url": None,
            "url": None,
        },
        "business_type": None,
        "capabilities": {"card_payments": "active", "transfers": "active"},
        "charges_enabled": True,
        "controller": {"type": "account"},
        "country": "US",
        "created": created,
        "default_currency": HOME,
        "details_submitted": True,
        "email": "sandbox@florin.test",
        "external_accounts": {
            "object": "list",
            "data": [],
            "has_more": False,
            "url": f"/v1/accounts/{account_id}/external_accounts",
        },
        "future_requirements": _nothing_required(),
        "metadata": {},
        "payouts_enabled": True,
        "requirements": _nothing_required(),
        "settings": _settings(),
        "tos_acceptance": {"date": None, "ip": None, "user_agent": None},
        "type": "standard",
    }


def _identity(op: Operation) -> tuple[str, int]:
    """The account's id and birth, settled the first time anybody asks."""
    known = op.store.setting("account")
    if known is None:
        known = f"{new_id('account')} {op.now()}"
        op.store.set_setting("account", known)
    account_id, created = known.split()
    return account_id, int(created)


def _nothing_required() -> Json:
    return {
        "alternatives": [],
        "current_deadline": None,
        "currently_due": [],
        "disabled_reason": None,
        "errors": [],
        "eventually_due": [],
        "past_due": [],
        "pending_verification": [],
    }


def _settings() -> Json:
    return {
        "branding": {"icon": None, "logo": None, "primary_color": None, "secondary_color": None},
        "card_issuing": {"tos_acceptance": {"date": None, "ip": None}},
        "card_payments": {
            "decline_on": {"avs_failure": False, "cvc_failure": False},
            "statement_descriptor_prefix": STATEMENT_NAME,
            "statement_descriptor_prefix_kana": None,
            "statement_descriptor_prefix_kanji": None,
        },
        "dashboard": {"display_name": MERCHANT_NAME, "timezone": "Etc/UTC"},
        "invoices": {"default_account_tax_ids": None, "hosted_payment_method_save": None},
        "payments": {
            "statement_descriptor": STATEMENT_NAME,
            "statement_descriptor_kana": None,
            "statement_descriptor_kanji": None,
            "statement_descriptor_prefix_kana": None,
            "statement_descriptor_prefix_kanji": None,
        },
        "payouts": {
            "debit_negative_balances": True,
            "schedule": {"delay_days": 2, "interval": "daily"},
            "statement_descriptor": None,
        },
        "sepa_debit_payments": {},
    }


ENDPOINTS = (Endpoint("GET", "/v1/account", _retrieve, "account"),)
