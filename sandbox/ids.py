"""Object ids in Stripe's form: a prefix that names the kind, then random letters and digits."""

import secrets
import string

_ALPHABET = (string.ascii_letters + string.digits).encode()
# Bytes above the last whole multiple of 62 are dropped, or else some letters would come more often than others.
_LETTERS = bytes(_ALPHABET[byte % 62] for byte in range(256))
_DROPPED = bytes(range(248, 256))

# Stripe puts a generation digit after some prefixes; clients that match ids by pattern see the same form here.
_PREFIXES = {
    "account": ("acct_1", 15),
    "balance_transaction": ("txn_3", 23),
    "charge": ("ch_3", 23),
    "customer": ("cus_", 14),
    "dispute": ("du_1", 23),
    "event": ("evt_3", 23),
    "fault": ("flt_", 14),
    "payment_intent": ("pi_3", 23),
    "payment_method": ("pm_1", 23),
    "refund": ("re_3", 23),
    "request": ("req_", 14),
    "source": ("src_1", 23),
    "webhook_endpoint": ("we_1", 23),
}


def new_id(kind: str) -> str:
    """A fresh id for one of the kinds above, unguessable (about 137 bits for the long ones)."""
    prefix, length = _PREFIXES[kind]
    return prefix + random_text(length)


def random_text(length: int) -> str:
    letters = secrets.token_bytes(2 * length).translate(_LETTERS, _DROPPED)
    return letters[:length].decode() if len(letters) >= length else random_text(length)
