"""Create a payment: write down what will be done, then do it, then write down what came of it."""

from collections.abc import Mapping
from dataclasses import dataclass

from domain.access import Actor, Capability
from domain.audit import AuditAction, AuditEntry, Origin
from domain.errors import CardNumberRefused, InvalidAmount, InvalidPaymentMethod, InvalidText, Refusal
from domain.idempotency import KeyedAct, KeyUse, earlier_use, fingerprint
from domain.ids import AttemptId, TransactionId
from domain.money import Money, MoneyError
from domain.payments.answer import Answer, refusals_of_charge
from domain.payments.attempt import Attempt, AttemptKind, AttemptStep
from domain.payments.gateway import OutcomeUnknown, PaymentGateway, RejectionKind, RequestRejected
from domain.payments.runner import AttemptRunner
from domain.payments.transaction import CaptureMethod, PaymentMethodSummary, Transaction, TransactionStatus
from domain.ports import Clock, IdSource, UnitOfWork, UnitsOfWork
from domain.text import (
    PROCESSOR_ID_LENGTH_MAX,
    JsonValue,
    check_idempotency_key,
    check_metadata,
    check_text,
    is_processor_id,
    looks_like_card_number,
)

DESCRIPTION_LENGTH_MAX = 1000
RETURN_URL_LENGTH_MAX = 2000
PROCESSOR = "stripe"


@dataclass(frozen=True, slots=True, kw_only=True)
class NewPayment:
    """What the payer asks for."""

    idempotency_key: str
    money: Money
    payment_method_id: str
    description: str | None
    metadata: object
    capture_method: CaptureMethod
    return_url: str | None

    def fingerprint(self, metadata: Mapping[str, JsonValue]) -> bytes:
        return fingerprint(
            {
                "money": str(self.money),
                "paymentMethodId": self.payment_method_id,
                "description": self.description,
                "metadata": dict(metadata),
                "captureMethod": self.capture_method.value,
                "returnUrl": self.return_url,
            }
        )


class CreatePayment:
    """The act behind the mutation createPayment."""

    def __init__(
        self,
        *,
        units: UnitsOfWork,
        gateway: PaymentGateway,
        runner: AttemptRunner,
        clock: Clock,
        ids: IdSource,
        default_return_url: str | None,
    ) -> None:
        self._units = units
        self._gateway = gateway
        self._runner = runner
        self._clock = clock
        self._ids = ids
        self._default_return_url = default_return_url

    async def __call__(self, actor: Actor, payment: NewPayment) -> Answer:
        """Take the payment, or answer with what an earlier request with the same key came to.

        Raises Forbidden, or a Refusal for an input that cannot be a payment, and has changed nothing then.
        """
        actor.require(Capability.PAYMENTS_CREATE)
        metadata = _check(payment)
        digest = payment.fingerprint(metadata)
        # A repetition is answered before the processor is asked anything, so that it needs no processor.
        async with self._units.autocommit() as uow:
            earlier = await uow.keys.find(actor.user_id, KeyedAct.CREATE_PAYMENT, payment.idempotency_key)
            if earlier is not None:
                earlier.check_repetition(digest)
                return await self._answer(uow, earlier.transaction_id, replayed=True)
        summary = await self._find_payment_method(payment.payment_method_id)
        transaction, attempt = self._draft(actor, payment, metadata, summary)
        use = KeyUse(
            actor_id=actor.user_id,
            act=KeyedAct.CREATE_PAYMENT,
            key=payment.idempotency_key,
            fingerprint=digest,
            transaction_id=transaction.id,
        )
        async with self._units.autocommit() as uow:
            if not await uow.payments.open(use, transaction, attempt, self._created(actor, transaction)):
                raced = await earlier_use(uow.keys, use)
                return await self._answer(uow, raced.transaction_id, replayed=True)
        charged = await self._runner.run(attempt, origin=Origin.RESPONSE, transaction=transaction)
        if charged is not None:
            return _answer_with(charged, replayed=False)
        async with self._units.autocommit() as uow:
            return await self._answer(uow, transaction.id, replayed=False)

    async def _answer(self, uow: UnitOfWork, transaction_id: TransactionId, *, replayed: bool) -> Answer:
        return _answer_with(await uow.transactions.get(transaction_id), replayed=replayed)

    async def _find_payment_method(self, payment_method_id: str) -> PaymentMethodSummary | None:
        """Ask the processor for the payment method before anything is written.

        A made-up one is then refused without a trace. Any doubt lets the payment go on: the processor decides in the end.
        """
        try:
            return await self._gateway.find_payment_method(payment_method_id)
        except RequestRejected as error:
            if error.kind is RejectionKind.PAYMENT_METHOD:
                raise InvalidPaymentMethod(path=("input", "paymentMethodId")) from error
        except OutcomeUnknown:
            pass
        return None

    def _draft(
        self,
        actor: Actor,
        payment: NewPayment,
        metadata: Mapping[str, JsonValue],
        summary: PaymentMethodSummary | None,
    ) -> tuple[Transaction, Attempt]:
        now = self._clock.now()
        transaction = Transaction(
            id=TransactionId(self._ids.new()),
            user_id=actor.user_id,
            status=TransactionStatus.PENDING,
            money=payment.money,
            capture_method=payment.capture_method,
            payment_method_id=payment.payment_method_id,
            payment_method=summary,
            description=payment.description,
            metadata=metadata,
            return_url=payment.return_url or self._default_return_url,
            processor=PROCESSOR,
            created_at=now,
            updated_at=now,
        )
        attempt = Attempt(
            id=AttemptId(self._ids.new()),
            kind=AttemptKind.CHARGE,
            transaction_id=transaction.id,
            amount=payment.money.minor_units,
            step=AttemptStep.CREATE,
        )
        return transaction, attempt

    def _created(self, actor: Actor, transaction: Transaction) -> AuditEntry:
        return AuditEntry.by(
            actor,
            AuditAction.TRANSACTION_CREATED,
            new_id=self._ids.new(),
            transaction_id=transaction.id,
            details={
                "amountMinor": str(transaction.money.minor_units),
                "currency": transaction.money.currency.value,
                "captureMethod": transaction.capture_method.value,
            },
            at=transaction.created_at,
        )


def _answer_with(transaction: Transaction | None, *, replayed: bool) -> Answer:
    refusals = refusals_of_charge(transaction) if transaction is not None else ()
    return Answer(transaction=transaction, refusals=refusals, replayed=replayed)


def _check(payment: NewPayment) -> Mapping[str, JsonValue]:
    """Raise the Refusal that the input deserves; answer with the metadata, known to be good."""
    check_idempotency_key(payment.idempotency_key)
    try:
        payment.money.check_chargeable()
    except MoneyError as error:
        raise InvalidAmount(str(error), path=("input", "money")) from error
    _check_payment_method(payment.payment_method_id)
    if payment.description is not None:
        check_text(payment.description, path=("input", "description"), length_max=DESCRIPTION_LENGTH_MAX)
    if payment.return_url is not None:
        path = ("input", "returnUrl")
        check_text(payment.return_url, path=path, length_max=RETURN_URL_LENGTH_MAX)
        if not payment.return_url.startswith(("https://", "http://")):
            raise InvalidText("A return URL starts with https:// or http://.", path=path)
    return {} if payment.metadata is None else check_metadata(payment.metadata)


def _check_payment_method(payment_method_id: str) -> None:
    path = ("input", "paymentMethodId")
    if looks_like_card_number(payment_method_id):
        raise InvalidPaymentMethod(CardNumberRefused.default_message(), path=path)
    try:
        check_text(payment_method_id, path=path, length_max=PROCESSOR_ID_LENGTH_MAX)
    except Refusal as error:
        raise InvalidPaymentMethod(error.message, path=path) from error
    if not is_processor_id(payment_method_id):
        raise InvalidPaymentMethod("A payment method id holds letters, digits and underscores only.", path=path)
