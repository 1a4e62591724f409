from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.currencies import LARGEST_CHARGE, Currency
from domain.money import Money, MoneyError

currencies = st.sampled_from(Currency)
minor_units = st.integers(min_value=-(2**63), max_value=2**63 - 1)


@given(minor_units, currencies)
def test_an_amount_survives_the_way_to_major_units_and_back(count: int, currency: Currency) -> None:
    money = Money(count, currency)
    assert Money.from_decimal(money.amount, currency) == money


@given(minor_units, currencies)
def test_an_amount_is_written_with_exactly_the_decimals_of_its_currency(count: int, currency: Currency) -> None:
    written = str(Money(count, currency).amount)
    decimals = written.partition(".")[2]
    assert len(decimals) == currency.exponent
    assert int(written.replace(".", "")) == count


@given(minor_units, currencies, st.integers(min_value=1, max_value=9), st.integers(min_value=1, max_value=30))
def test_excess_digits_are_refused_and_never_rounded(count: int, currency: Currency, digit: int, further: int) -> None:
    decimals = str(abs(count)).rjust(currency.exponent + 1, "0")
    whole, fraction = decimals[: len(decimals) - currency.exponent], decimals[len(decimals) - currency.exponent :]
    amount = Decimal(f"{whole}.{fraction}{'0' * (further - 1)}{digit}")
    with pytest.raises(MoneyError):
        Money.from_decimal(amount, currency)


@given(st.integers(min_value=0, max_value=10**9), currencies, st.integers(min_value=0, max_value=20))
def test_zeros_after_the_last_decimal_are_no_excess_digits(count: int, currency: Currency, zeros: int) -> None:
    money = Money(count, currency)
    amount = Decimal(f"{money.amount:f}{'' if currency.exponent else '.'}{'0' * zeros}")
    assert Money.from_decimal(amount, currency) == money


@pytest.mark.parametrize(
    "amount",
    [
        "NaN", "sNaN", "Infinity", "-Infinity", "1E+999999", "1E-999999", "1E+999999999999999999", "-1E+70",
        # 30 digits: more than Python's decimals keep by themselves.
        "1.00000000000000000000000000001", "9" * 61,
    ],
)  # fmt: skip
@pytest.mark.parametrize("currency", [Currency.JPY, Currency.USD, Currency.KWD])
def test_a_number_that_is_no_amount_is_refused(amount: str, currency: Currency) -> None:
    with pytest.raises(MoneyError):
        Money.from_decimal(Decimal(amount), currency)


@pytest.mark.parametrize("amount", ["0", "-0", "0E-30", "0E+30"])
def test_zero_is_an_amount_but_cannot_be_paid(amount: str) -> None:
    money = Money.from_decimal(Decimal(amount), Currency.USD)
    assert money.minor_units == 0
    with pytest.raises(MoneyError, match="more than zero"):
        money.check_payable()


@pytest.mark.parametrize(
    ("currency", "exponent", "step"),
    [
        (Currency.JPY, 0, 1), (Currency.KRW, 0, 1), (Currency.VND, 0, 1), (Currency.MGA, 0, 1),
        (Currency.USD, 2, 1), (Currency.EUR, 2, 1), (Currency.HUF, 2, 1),
        (Currency.ISK, 2, 100), (Currency.UGX, 2, 100),
        (Currency.BHD, 3, 10), (Currency.JOD, 3, 10), (Currency.KWD, 3, 10), (Currency.OMR, 3, 10), (Currency.TND, 3, 10),
    ],
)  # fmt: skip
def test_the_processors_own_exponents_and_steps(currency: Currency, exponent: int, step: int) -> None:
    assert (currency.exponent, currency.step) == (exponent, step)


@pytest.mark.parametrize("currency", Currency)
def test_the_limits_of_a_charge_in_every_currency(currency: Currency) -> None:
    least, most = currency.smallest_charge, LARGEST_CHARGE - LARGEST_CHARGE % currency.step
    for count in (least, most):
        Money(count, currency).check_chargeable()
    for count in (least - 1, least - currency.step, 0, -currency.step, LARGEST_CHARGE + 1):
        with pytest.raises(MoneyError):
            Money(count, currency).check_chargeable()


@given(currencies, st.integers(min_value=1, max_value=LARGEST_CHARGE))
def test_an_amount_is_payable_where_it_is_a_whole_number_of_steps(currency: Currency, count: int) -> None:
    money = Money(count, currency)
    if count % currency.step:
        with pytest.raises(MoneyError, match="in steps of"):
            money.check_payable()
    else:
        money.check_payable()


@pytest.mark.parametrize(
    ("money", "written"),
    [(Money(1000, Currency.USD), "10.00 USD"), (Money(1000, Currency.JPY), "1000 JPY"), (Money(5, Currency.KWD), "0.005 KWD")],
)  # fmt: skip
def test_money_as_text(money: Money, written: str) -> None:
    assert str(money) == written
