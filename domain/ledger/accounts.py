"""The accounts of the ledger: what each kind counts, and how an account gets its id."""

from dataclasses import dataclass
from enum import StrEnum
from hashlib import sha256
from uuid import UUID

from domain.currencies import Currency
from domain.ids import LedgerAccountId, UserId


class AccountKind(StrEnum):
    """What an account counts. There is one of each kind for each currency, and one CUSTOMER account for each user in it."""

    PROCESSOR_BALANCE = "PROCESSOR_BALANCE"
    CUSTOMER = "CUSTOMER"
    REVENUE = "REVENUE"
    REFUNDS = "REFUNDS"
    PROCESSOR_FEES = "PROCESSOR_FEES"
    DISPUTES = "DISPUTES"
    DISPUTE_LOSSES = "DISPUTE_LOSSES"
    CURRENCY_CONVERSION = "CURRENCY_CONVERSION"


@dataclass(frozen=True, slots=True)
class Account:
    """An account, told by what it is for. `user_id` is the customer's, and None for every other kind."""

    kind: AccountKind
    currency: Currency
    user_id: UserId | None = None

    def __post_init__(self) -> None:
        if (self.kind is AccountKind.CUSTOMER) is not (self.user_id is not None):
            raise ValueError(f"A {self.kind} account {'needs' if self.user_id is None else 'has no'} user.")

    @property
    def id(self) -> LedgerAccountId:
        """The account's id: a hash of what it is for, so that whoever posts knows it without asking the database.

        Two that post to a new account at once then create the same one (UUID version 8, RFC 9562, section 5.8).
        """
        name = f"{self.kind}:{self.currency}:{'' if self.user_id is None else self.user_id.hex}"
        digits = sha256(name.encode()).hexdigest()
        return LedgerAccountId(UUID(hex=f"{digits[:12]}8{digits[13:16]}8{digits[17:32]}"))
