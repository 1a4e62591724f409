"""The currencies that Stripe charges in, and the amounts it takes in each.

Source: https://docs.stripe.com/currencies (zero-decimal, three-decimal and special currencies, minimum amounts). An
amount is a whole number of the currency's minor unit as Stripe counts it.
"""

from sandbox.errors import ApiError, invalid

# ruff: noqa: SIM905 - a hundred codes are easier to read and to compare as words than as a list of strings
ZERO_DECIMAL = frozenset("bif clp djf gnf jpy kmf krw mga pyg rwf vnd vuv xaf xof xpf".split())
THREE_DECIMAL = frozenset("bhd jod kwd omr tnd".split())
TWO_DECIMAL = frozenset(
    """
    aed afn all amd ang aoa ars aud awg azn bam bbd bdt bgn bmd bnd bob brl bsd bwp byn bzd cad cdf chf cny cop crc
    cve czk dkk dop dzd egp etb eur fjd fkp gbp gel gip gmd gtq gyd hkd hnl htg huf idr ils inr isk jmd kes kgs khr
    kyd kzt lak lbp lkr lrd lsl mad mdl mkd mmk mnt mop mur mvr mwk mxn myr mzn nad ngn nio nok npr nzd pab pen pgk
    php pkr pln qar ron rsd rub sar sbd scr sek sgd shp sle sos srd std szl thb tjs top try ttd twd tzs uah ugx usd
    uyu uzs wst xcd xcg yer zar zmw
    """.split()
)
SUPPORTED = ZERO_DECIMAL | TWO_DECIMAL | THREE_DECIMAL

# Three-decimal amounts end in zero; ISK and UGX have no minor unit any more but are still counted in hundredths.
_MULTIPLES = {**dict.fromkeys(THREE_DECIMAL, 10), "isk": 100, "ugx": 100}

_MINIMUMS = {
    "usd": 50, "aed": 200, "aud": 50, "bgn": 100, "brl": 50, "cad": 50, "chf": 50, "czk": 1500, "dkk": 250,
    "eur": 50, "gbp": 30, "hkd": 400, "huf": 17500, "inr": 50, "jpy": 50, "mxn": 1000, "myr": 200, "nok": 300,
    "nzd": 50, "pln": 200, "ron": 200, "sek": 300, "sgd": 50, "thb": 1000,
}  # fmt: skip

# Eight digits, except for the rupiah, which is taken up to twelve.
_MAXIMUM = 99_999_999
_MAXIMUMS = {"idr": 999_999_999_999}

_SYMBOLS = {"usd": "$", "eur": "€", "gbp": "£", "jpy": "¥"}

# The country where Stripe counts as the account's home, and so the currency of its balance when it has none yet.
HOME = "usd"


def exponent(currency: str) -> int:
    if currency in ZERO_DECIMAL:
        return 0
    return 3 if currency in THREE_DECIMAL else 2


def spoken(amount: int, currency: str) -> str:
    """An amount as Stripe's messages say it: $10.00, ¥500, 10.00 SEK."""
    digits = exponent(currency)
    number = f"{amount:,}" if digits == 0 else f"{amount // 10**digits:,}.{amount % 10**digits:0{digits}d}"
    symbol = _SYMBOLS.get(currency)
    return f"{symbol}{number}" if symbol else f"{number} {currency.upper()}"


def parse_currency(raw: str) -> str:
    """The lower-case code. Raises ApiError 400 for a currency that Stripe does not charge in."""
    currency = raw.lower()
    if currency not in SUPPORTED:
        known = ", ".join(sorted(SUPPORTED))
        raise invalid(f"Invalid currency: {raw}. Stripe currently supports these currencies: {known}", param="currency")
    return currency


def check_charge_amount(amount: int, currency: str, param: str = "amount") -> None:
    """Raise ApiError 400 unless a payment of this amount may be asked for."""
    minimum = _MINIMUMS.get(currency, 1)
    if amount < minimum:
        raise invalid(
            f"Amount must be at least {spoken(minimum, currency)} {currency}", param=param, code="amount_too_small"
        )
    maximum = _MAXIMUMS.get(currency, _MAXIMUM)
    if amount > maximum:
        raise invalid(f"Amount must be no more than {spoken(maximum, currency)}", param=param, code="amount_too_large")
    check_multiple(amount, currency, param)


def check_multiple(amount: int, currency: str, param: str = "amount") -> None:
    """Raise ApiError 400 if the currency's last digits must be zero and are not."""
    multiple = _MULTIPLES.get(currency, 1)
    if amount % multiple:
        raise _not_a_multiple(amount, currency, multiple, param)


def _not_a_multiple(amount: int, currency: str, multiple: int, param: str) -> ApiError:
    return invalid(
        f"Invalid amount {amount}: amounts in {currency} must be a multiple of {multiple}",
        param=param,
        code="parameter_invalid_integer",
    )


def processing_fee(amount: int, currency: str) -> int:
    """Stripe's usual price of 2.9% + 30 in minor units (300 where there are three decimals), rounded half up.

    The fee is rounded to what the currency can express, and never exceeds the amount.
    """
    fixed = 300 if currency in THREE_DECIMAL else 30
    multiple = _MULTIPLES.get(currency, 1)
    fee = (amount * 29 + 500) // 1000 + fixed
    fee = (fee + multiple // 2) // multiple * multiple
    return min(fee, amount)
