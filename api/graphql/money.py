"""Money as GraphQL shows and takes it."""

from copy import copy
from decimal import Decimal
from typing import Annotated

import strawberry
from babel import Locale, UnknownLocaleError

from api.graphql.scalars import BigInt
from domain.currencies import Currency
from domain.errors import InvalidAmount
from domain.money import Money, MoneyError

_FALLBACK = Locale("en", "US")


@strawberry.type(name="Money", description="An exact amount of one currency.")
class MoneyType:
    """The domain's Money on the wire."""

    value: strawberry.Private[Money]

    @strawberry.field(
        description="The amount in the currency's minor unit, as the processor counts it: cents for USD, yen for JPY."
    )
    def amount_minor(self) -> BigInt:
        return BigInt(self.value.minor_units)

    @strawberry.field(
        description='The amount in major units with the currency\'s decimals: "10.00" USD, "1000" JPY, "1.000" KWD.'
    )
    def amount(self) -> Decimal:
        return self.value.amount

    @strawberry.field(description="The currency.")
    def currency(self) -> Currency:
        return self.value.currency

    @strawberry.field(description="The amount as people of a locale write it. An unknown locale gets en_US.")
    def formatted(
        self,
        locale: Annotated[str, strawberry.argument(description='A locale such as "de_DE" or "en-GB".')] = "en_US",
    ) -> str:
        return format_money(self.value, locale)


def money_type(value: Money) -> MoneyType:
    return MoneyType(value=value)


def format_money(money: Money, locale: str) -> str:
    """An amount for people (Unicode CLDR), always with all of the processor's decimals, so that nothing is rounded away."""
    chosen = _locale(locale)
    # A copy, because Babel keeps one pattern for everybody.
    pattern = copy(chosen.currency_formats["standard"])
    pattern.frac_prec = (money.currency.exponent, money.currency.exponent)
    text: str = pattern.apply(money.amount, chosen, currency=money.currency.value, currency_digits=False)
    return text


def _locale(name: str) -> Locale:
    try:
        return Locale.parse(name.replace("-", "_"))
    except (ValueError, UnknownLocaleError):
        return _FALLBACK


@strawberry.input(description="An amount of money: exactly one of amount and amountMinor.")
class MoneyInput:
    """The domain's Money as it comes in."""

    currency: Currency = strawberry.field(description="The currency.")
    amount: Decimal | None = strawberry.field(
        default=None,
        description='The amount in major units, such as "10.00". More decimals than the currency has are refused.',
    )
    amount_minor: BigInt | None = strawberry.field(
        default=None, description="The amount in the currency's minor unit, such as 1000 for 10.00 USD."
    )

    def to_money(self) -> Money:
        """The amount meant. Raises InvalidAmount."""
        path = ("input", "money")
        if (self.amount is None) == (self.amount_minor is None):
            raise InvalidAmount("Give exactly one of amount and amountMinor.", path=path)
        if self.amount_minor is not None:
            return Money(self.amount_minor, self.currency)
        try:
            return Money.from_decimal(self.amount or Decimal(0), self.currency)
        except MoneyError as error:
            raise InvalidAmount(str(error), path=(*path, "amount")) from error
