"""Money: an integer count of a currency's minor unit, never a float."""

from dataclasses import dataclass
from decimal import Context, Decimal, DecimalException, Inexact, InvalidOperation, Overflow
from typing import Self

from domain.currencies import LARGEST_CHARGE, Currency

# Rounds nothing, and holds no number so large that making an integer of it takes long: 1E+999999 took two minutes.
_EXACT = Context(prec=60, Emin=-60, Emax=60, traps=[Inexact, InvalidOperation, Overflow])


class MoneyError(ValueError):
    """An amount that its currency cannot express, or that cannot be charged."""


@dataclass(frozen=True, slots=True)
class Money:
    """An amount of one currency, in minor units as the processor counts them (docs.stripe.com/currencies)."""

    minor_units: int
    currency: Currency

    @classmethod
    def from_decimal(cls, amount: Decimal, currency: Currency) -> Self:
        """Convert an amount in major units.

        Raises MoneyError where the currency has fewer decimals than the amount: excess digits are refused, not rounded.
        """
        if not amount.is_finite():
            raise MoneyError("The amount must be a number.")
        try:
            scaled = amount.scaleb(currency.exponent, _EXACT)
        except DecimalException:
            raise MoneyError("The amount has too many digits.") from None
        if scaled != scaled.to_integral_value():
            raise MoneyError(f"{currency} takes {_decimals(currency.exponent)}; {amount} has more.")
        return cls(int(scaled), currency)

    @property
    def amount(self) -> Decimal:
        """The amount in major units, with exactly the currency's decimals."""
        return Decimal(self.minor_units).scaleb(-self.currency.exponent)

    def check_chargeable(self) -> None:
        """Raise MoneyError unless the processor would take this amount as one charge."""
        self.check_payable()
        smallest = Money(self.currency.smallest_charge, self.currency)
        if self.minor_units < smallest.minor_units:
            raise MoneyError(f"The least that can be charged in {self.currency} is {smallest}.")

    def check_payable(self) -> None:
        """Raise MoneyError unless this is a positive amount that the currency's cards can carry."""
        if self.minor_units <= 0:
            raise MoneyError("The amount must be more than zero.")
        if self.minor_units > LARGEST_CHARGE:
            raise MoneyError(f"The amount is more than {Money(LARGEST_CHARGE, self.currency)}.")
        if self.minor_units % self.currency.step:
            step = Money(self.currency.step, self.currency)
            raise MoneyError(f"Card networks take {self.currency} in steps of {step.amount} only.")

    def __str__(self) -> str:
        return f"{self.amount} {self.currency}"


def _decimals(exponent: int) -> str:
    return f"{exponent} decimals" if exponent else "no decimals"
