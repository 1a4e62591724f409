"""The currencies that the processor takes, and how it counts each of them.

Source: Stripe, "Supported currencies" (docs.stripe.com/currencies), which is not ISO 4217's table: Stripe counts the
Malagasy ariary without decimals, and the Icelandic krona and the Ugandan shilling with two that must be zero.
"""

from enum import StrEnum


class Currency(StrEnum):
    """A currency that the processor takes, by its ISO 4217 code."""

    AED = "AED"
    AFN = "AFN"
    ALL = "ALL"
    AMD = "AMD"
    ANG = "ANG"
    AOA = "AOA"
    ARS = "ARS"
    AUD = "AUD"
    AWG = "AWG"
    AZN = "AZN"
    BAM = "BAM"
    BBD = "BBD"
    BDT = "BDT"
    BGN = "BGN"
    BHD = "BHD"
    BIF = "BIF"
    BMD = "BMD"
    BND = "BND"
    BOB = "BOB"
    BRL = "BRL"
    BSD = "BSD"
    BWP = "BWP"
    BYN = "BYN"
    BZD = "BZD"
    CAD = "CAD"
    CDF = "CDF"
    CHF = "CHF"
    CLP = "CLP"
    CNY = "CNY"
    COP = "COP"
    CRC = "CRC"
    CVE = "CVE"
    CZK = "CZK"
    DJF = "DJF"
    DKK = "DKK"
    DOP = "DOP"
    DZD = "DZD"
    EGP = "EGP"
    ETB = "ETB"
    EUR = "EUR"
    FJD = "FJD"
    FKP = "FKP"
    GBP = "GBP"
    GEL = "GEL"
    GIP = "GIP"
    GMD = "GMD"
    GNF = "GNF"
    GTQ = "GTQ"
    GYD = "GYD"
    HKD = "HKD"
    HNL = "HNL"
    HTG = "HTG"
    HUF = "HUF"
    IDR = "IDR"
    ILS = "ILS"
    INR = "INR"
    ISK = "ISK"
    JMD = "JMD"
    JOD = "JOD"
    JPY = "JPY"
    KES = "KES"
    KGS = "KGS"
    KHR = "KHR"
    KMF = "KMF"
    KRW = "KRW"
    KWD = "KWD"
    KYD = "KYD"
    KZT = "KZT"
    LAK = "LAK"
    LBP = "LBP"
    LKR = "LKR"
    LRD = "LRD"
    LSL = "LSL"
    MAD = "MAD"
    MDL = "MDL"
    MGA = "MGA"
    MKD = "MKD"
    MMK = "MMK"
    MNT = "MNT"
    MOP = "MOP"
    MUR = "MUR"
    MVR = "MVR"
    MWK = "MWK"
    MXN = "MXN"
    MYR = "MYR"
    MZN = "MZN"
    NAD = "NAD"
    NGN = "NGN"
    NIO = "NIO"
    NOK = "NOK"
    NPR = "NPR"
    NZD = "NZD"
    OMR = "OMR"
    PAB = "PAB"
    PEN = "PEN"
    PGK = "PGK"
    PHP = "PHP"
    PKR = "PKR"
    PLN = "PLN"
    PYG = "PYG"
    QAR = "QAR"
    RON = "RON"
    RSD = "RSD"
    RUB = "RUB"
    RWF = "RWF"
    SAR = "SAR"
    SBD = "SBD"
    SCR = "SCR"
    SEK = "SEK"
    SGD = "SGD"
    SHP = "SHP"
    SLE = "SLE"
    SOS = "SOS"
    SRD = "SRD"
    STD = "STD"
    SZL = "SZL"
    THB = "THB"
    TJS = "TJS"
    TND = "TND"
    TOP = "TOP"
    TRY = "TRY"
    TTD = "TTD"
    TWD = "TWD"
    TZS = "TZS"
    UAH = "UAH"
    UGX = "UGX"
    USD = "USD"
    UYU = "UYU"
    UZS = "UZS"
    VND = "VND"
    VUV = "VUV"
    WST = "WST"
    XAF = "XAF"
    XCD = "XCD"
    XCG = "XCG"
    XOF = "XOF"
    XPF = "XPF"
    YER = "YER"
    ZAR = "ZAR"
    ZMW = "ZMW"

    @property
    def exponent(self) -> int:
        """How many decimals the minor unit stands for: 0, 2 or 3."""
        if self in _ZERO_DECIMALS:
            return 0
        return 3 if self in _THREE_DECIMALS else 2

    @property
    def step(self) -> int:
        """The smallest difference between two amounts, in minor units.

        Card networks do not take the third decimal, so Stripe wants its digit to be 0; krona and shilling are counted
        with two decimals for historical reasons, and both must be 0.
        """
        if self in _THREE_DECIMALS:
            return 10
        return 100 if self in _WHOLE_UNITS_ONLY else 1

    @property
    def smallest_charge(self) -> int:
        """The least amount that can be charged, in minor units; where Stripe publishes none, one step."""
        return _SMALLEST_CHARGES.get(self, self.step)


_ZERO_DECIMALS = frozenset(
    {
        Currency.BIF,
        Currency.CLP,
        Currency.DJF,
        Currency.GNF,
        Currency.JPY,
        Currency.KMF,
        Currency.KRW,
        Currency.MGA,
        Currency.PYG,
        Currency.RWF,
        Currency.VND,
        Currency.VUV,
        Currency.XAF,
        Currency.XOF,
        Currency.XPF,
    }
)
_THREE_DECIMALS = frozenset({Currency.BHD, Currency.JOD, Currency.KWD, Currency.OMR, Currency.TND})
_WHOLE_UNITS_ONLY = frozenset({Currency.ISK, Currency.UGX})

# docs.stripe.com/currencies, "Minimum and maximum charge amounts".
_SMALLEST_CHARGES = {
    Currency.AED: 200,
    Currency.AUD: 50,
    Currency.BGN: 100,
    Currency.BRL: 50,
    Currency.CAD: 50,
    Currency.CHF: 50,
    Currency.CZK: 1500,
    Currency.DKK: 250,
    Currency.EUR: 50,
    Currency.GBP: 30,
    Currency.HKD: 400,
    Currency.HUF: 17500,
    Currency.INR: 50,
    Currency.JPY: 50,
    Currency.MXN: 1000,
    Currency.MYR: 200,
    Currency.NOK: 300,
    Currency.NZD: 50,
    Currency.PLN: 200,
    Currency.RON: 200,
    Currency.SEK: 300,
    Currency.SGD: 50,
    Currency.THB: 1000,
    Currency.USD: 50,
}

LARGEST_CHARGE = 99_999_999
"""The most that one charge may be, in minor units: Stripe takes eight digits."""
