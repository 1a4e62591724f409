"""What the API must answer, in a few dozen lines: no storage, no processor, no time."""

from dataclasses import dataclass, field
from enum import Enum

from domain.payments.transaction import CAPTURED, TransactionStatus

_S = TransactionStatus


class Card(Enum):
    """A payment method, and what paying with it leads to."""

    GOOD = "pm_card_visa"
    DECLINED = "pm_card_visa_chargeDeclined"
    CHALLENGED = "pm_card_authenticationRequired"


class Challenge(Enum):
    """What the payer made of a 3-D Secure challenge, as the processor knows it and we may not yet."""

    OPEN = "not answered"
    PASSED = "passed"
    FAILED = "failed"


@dataclass(slots=True)
class Refund:
    """A refund as we know it. `failed_unheard`: it has failed at the processor, and nobody has told us."""

    minor_units: int
    failed: bool = False
    failed_unheard: bool = False


@dataclass(slots=True)
class Payment:
    """A payment as we know it, and what the processor knows beside it."""

    owner: str
    amount: int
    card: Card
    is_manual: bool
    status: TransactionStatus = _S.PENDING
    captured: int = 0
    challenge: Challenge | None = None
    refunds: list[Refund] = field(default_factory=list)

    @property
    def refunded(self) -> int:
        return sum(refund.minor_units for refund in self.refunds if not refund.failed)

    @property
    def refundable(self) -> int:
        return self.captured - self.refunded

    def take(self) -> None:
        """The processor says yes."""
        if self.is_manual:
            self.status = _S.AUTHORIZED
        else:
            self.status, self.captured = _S.COMPLETED, self.amount

    def count_refunds(self) -> None:
        if self.refunded == 0:
            self.status = _S.COMPLETED
        else:
            self.status = _S.REFUNDED if self.refunded == self.captured else _S.PARTIALLY_REFUNDED


@dataclass(frozen=True, slots=True)
class Answer:
    """What a mutation answers: the payment and refund it is about, if any, the codes of its errors, and `replayed`."""

    payment: Payment | None = None
    refund: Refund | None = None
    errors: tuple[str, ...] = ()
    replayed: bool = False


@dataclass(slots=True)
class _Use:
    """The first use of a key."""

    wish: object
    payment: Payment
    refund: Refund | None = None


class Model:
    """Florin, as its clients may think of it."""

    def __init__(self) -> None:
        self.payments: list[Payment] = []
        self._keys: dict[tuple[str, str, str], _Use] = {}

    def pay(self, who: str, key: str, card: Card, amount: int, *, is_manual: bool) -> Answer:
        wish = (card, amount, is_manual)
        use = self._keys.get((who, "pay", key))
        if use is not None:
            return _repetition(use, wish, _errors_of_payment(use.payment))
        payment = Payment(owner=who, amount=amount, card=card, is_manual=is_manual)
        if card is Card.GOOD:
            payment.take()
        elif card is Card.DECLINED:
            payment.status = _S.FAILED
        else:
            payment.status, payment.challenge = _S.REQUIRES_ACTION, Challenge.OPEN
        self.payments.append(payment)
        self._keys[who, "pay", key] = _Use(wish, payment)
        return Answer(payment, errors=_errors_of_payment(payment))

    def capture(self, who: str, key: str, payment: Payment, amount: int | None) -> Answer:
        wish = (id(payment), amount)
        use = self._keys.get((who, "capture", key))
        if use is not None:
            return _repetition(use, wish, () if use.payment.status in CAPTURED else ("NOT_CAPTURABLE",))
        if payment.status is not _S.AUTHORIZED:
            return Answer(errors=("NOT_CAPTURABLE",))
        if amount is not None and amount > payment.amount:
            return Answer(errors=("INVALID_AMOUNT",))
        payment.status, payment.captured = _S.COMPLETED, amount or payment.amount
        self._keys[who, "capture", key] = _Use(wish, payment)
        return Answer(payment)

    def void(self, who: str, key: str, payment: Payment) -> Answer:
        use = self._keys.get((who, "void", key))
        if use is not None:
            return _repetition(use, id(payment), _errors_of_void(use.payment))
        if payment.status not in {_S.REQUIRES_ACTION, _S.AUTHORIZED}:
            return Answer(errors=("NOT_VOIDABLE",))
        if payment.challenge is Challenge.PASSED and not payment.is_manual and payment.status is _S.REQUIRES_ACTION:
            # Too late: the processor has taken the money, and that is what is told.
            payment.take()
        elif payment.challenge is Challenge.FAILED and payment.status is _S.REQUIRES_ACTION:
            payment.status = _S.FAILED
        else:
            payment.status = _S.CANCELED
        self._keys[who, "void", key] = _Use(id(payment), payment)
        return Answer(payment, errors=_errors_of_void(payment))

    def refund(self, who: str, key: str, payment: Payment, amount: int | None, *, is_staff: bool) -> Answer:
        wish = (id(payment), amount)
        use = self._keys.get((who, "refund", key))
        if use is not None:
            assert use.refund is not None
            return _repetition(use, wish, ("REFUND_FAILED",) if use.refund.failed else ())
        if not is_staff and payment.owner != who:
            return Answer(errors=("NOT_FOUND",))
        if payment.status is _S.REFUNDED:
            return Answer(errors=("ALREADY_REFUNDED",))
        if payment.status not in CAPTURED:
            return Answer(errors=("NOT_REFUNDABLE",))
        if amount is not None and amount > payment.refundable:
            return Answer(errors=("REFUND_EXCEEDS_REMAINING",))
        refund = Refund(amount or payment.refundable)
        payment.refunds.append(refund)
        payment.count_refunds()
        self._keys[who, "refund", key] = _Use(wish, payment, refund)
        return Answer(payment, refund)

    def hear_of_charges(self) -> None:
        """Somebody looked at every charge that was open."""
        for payment in self.payments:
            if payment.status is not _S.REQUIRES_ACTION:
                continue
            if payment.challenge is Challenge.PASSED:
                payment.take()
            elif payment.challenge is Challenge.FAILED:
                payment.status = _S.FAILED

    def hear_of_refunds(self) -> None:
        """The events about refunds have been applied."""
        for payment in self.payments:
            for refund in payment.refunds:
                if refund.failed_unheard:
                    refund.failed, refund.failed_unheard = True, False
                    payment.count_refunds()


def _repetition(use: _Use, wish: object, errors: tuple[str, ...]) -> Answer:
    if use.wish != wish:
        return Answer(errors=("IDEMPOTENCY_KEY_REUSED",))
    return Answer(use.payment, use.refund, errors, replayed=True)


def _errors_of_payment(payment: Payment) -> tuple[str, ...]:
    return ("CARD_DECLINED",) if payment.status is _S.FAILED else ()


def _errors_of_void(payment: Payment) -> tuple[str, ...]:
    return () if payment.status is _S.CANCELED else ("NOT_VOIDABLE",)
