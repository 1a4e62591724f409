"""What clients, payers and the processor do in the runs: each script is one story of a payment."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

from domain.ids import RefundId, TransactionId
from domain.payments.gateway import RefundReportStatus
from domain.payments.transaction import CaptureMethod, TransactionStatus
from tests.faults.world import Ask, World

_S = TransactionStatus
AMOUNT = 1000


@dataclass(frozen=True, slots=True)
class Script:
    """A story, and the statuses in which its payment may stand when everything has come to rest."""

    play: Callable[[World], Awaitable[None]]
    ends: frozenset[TransactionStatus]


async def _pay(
    world: World, method: str = "pm_card_visa", capture: CaptureMethod = CaptureMethod.AUTOMATIC
) -> TransactionId | None:
    ask = await world.ask("pay", lambda acts: acts.pay(world.payer, "pay", method=method, capture=capture))
    return _transaction_of(ask)


async def _hold(world: World) -> TransactionId | None:
    return await _pay(world, capture=CaptureMethod.MANUAL)


def _refund(world: World, key: str, transaction_id: TransactionId, minor_units: int | None) -> Ask:
    return Ask(key, lambda acts: acts.refund(world.payer, transaction_id, minor_units, key=key))


def _transaction_of(ask: Ask) -> TransactionId | None:
    """The payment that the client knows of; None where it never got a definite answer, which is found out in the end."""
    return ask.answer.transaction.id if ask.answer is not None and ask.answer.transaction is not None else None


async def pay(world: World) -> None:
    await _pay(world)


async def decline(world: World) -> None:
    await _pay(world, "pm_card_visa_chargeDeclined")


async def process(world: World) -> None:
    await _pay(world, "pm_fake_processing")
    world.processor_settles()


async def challenge(world: World) -> None:
    await _pay(world, "pm_card_authenticationRequired")
    world.payer_acts(success=True)


async def challenge_failed(world: World) -> None:
    await _pay(world, "pm_card_authenticationRequired")
    world.payer_acts(success=False)
    await world.look_around()
    # Had the charge not been canceled, this would take the money of a payment that was called failed.
    world.payer_tries_again()


async def challenge_retried(world: World) -> None:
    """The payer fails the challenge and at once tries again, before anybody has looked."""
    await _pay(world, "pm_card_authenticationRequired")
    world.payer_acts(success=False)
    world.payer_tries_again()


async def challenge_void(world: World) -> None:
    if transaction_id := await _pay(world, "pm_card_authenticationRequired"):
        await world.ask("void", lambda acts: acts.void(world.staff, transaction_id, key="void"))
        world.payer_acts(success=True)


async def capture(world: World) -> None:
    if transaction_id := await _hold(world):
        world.other = Ask("void", lambda acts: acts.void(world.staff, transaction_id, key="void"))
        await world.ask("capture", lambda acts: acts.capture(world.staff, transaction_id, key="capture"))


async def capture_part(world: World) -> None:
    if transaction_id := await _hold(world):
        await world.ask("capture", lambda acts: acts.capture(world.staff, transaction_id, 400, key="capture"))


async def void(world: World) -> None:
    if transaction_id := await _hold(world):
        world.other = Ask("capture", lambda acts: acts.capture(world.staff, transaction_id, key="capture"))
        await world.ask("void", lambda acts: acts.void(world.staff, transaction_id, key="void"))


async def refund(world: World) -> None:
    world.gateway.takes_any_refund = True
    if transaction_id := await _pay(world):
        world.other = _refund(world, "second", transaction_id, 700)
        await world.ask("refund", _refund(world, "refund", transaction_id, None).act)


async def refund_parts(world: World) -> None:
    world.gateway.takes_any_refund = True
    if transaction_id := await _pay(world):
        await world.ask("first", _refund(world, "first", transaction_id, 300).act)
        await world.ask("second", _refund(world, "second", transaction_id, 200).act)
        await world.ask("too-much", _refund(world, "too-much", transaction_id, 501).act)


async def refund_exceeding(world: World) -> None:
    """Two refunds of which only one fits."""
    world.gateway.takes_any_refund = True
    if transaction_id := await _pay(world):
        world.other = _refund(world, "second", transaction_id, 600)
        await world.ask("first", _refund(world, "first", transaction_id, 600).act)
        await world.ask("second", world.other.act)


async def refund_overtakes(world: World) -> None:
    """The payment's own event comes late, and a refund may be made while it is applied."""
    if transaction_id := await _pay(world):
        world.other = _refund(world, "refund", transaction_id, 700)
        await world.deliver()
        await world.work()
        await world.ask("refund", world.other.act)


async def refund_fails_late(world: World) -> None:
    if transaction_id := await _pay(world):
        await world.ask("refund", _refund(world, "refund", transaction_id, 600).act)
        world.refunds_become(RefundReportStatus.FAILED)
        await world.look_around()
        await world.ask("again", _refund(world, "again", transaction_id, 1000).act)


async def refund_waits(world: World) -> None:
    """The processor takes its time with the refund."""
    world.gateway.hold_refunds_back()
    if transaction_id := await _pay(world):
        await world.ask("refund", _refund(world, "refund", transaction_id, None).act)
        world.refunds_become(RefundReportStatus.SUCCEEDED)


async def refund_elsewhere(world: World) -> None:
    """One refund is made in the processor's dashboard, and one with us, which no longer fits beside it."""
    if transaction_id := await _pay(world):
        world.refund_in_dashboard(600)
        await world.ask("refund", _refund(world, "refund", transaction_id, 600).act)


async def dispute_won(world: World) -> None:
    if transaction_id := await _pay(world):
        world.payer_disputes()
        world.other = _refund(world, "refund", transaction_id, 300)
        await world.look_around()
        world.bank_decides(won=True)


async def dispute_lost(world: World) -> None:
    if await _pay(world):
        world.payer_disputes(400)
        await world.look_around()
        world.bank_decides(won=False)


async def dispute_and_refund(world: World) -> None:
    """We do not know of the dispute yet; the processor does, and refuses the refund."""
    if transaction_id := await _pay(world):
        world.payer_disputes()
        await world.ask("refund", _refund(world, "refund", transaction_id, 300).act)
        world.bank_decides(won=False)


async def refund_and_dispute(world: World) -> None:
    """What was refunded is taken back by the bank as well: both are booked."""
    if transaction_id := await _pay(world):
        await world.ask("refund", _refund(world, "refund", transaction_id, 300).act)
        world.payer_disputes()
        await world.look_around()
        world.bank_decides(won=False)


async def capture_and_refund(world: World) -> None:
    if transaction_id := await _hold(world):
        await world.ask("capture", lambda acts: acts.capture(world.staff, transaction_id, 800, key="capture"))
        await world.ask("refund", _refund(world, "refund", transaction_id, 500).act)


async def _refund_that_waits(world: World, transaction_id: TransactionId, minor_units: int) -> RefundId | None:
    """Somebody of the support asks for a large refund; its id, as far as they ever got an answer."""
    ask = await world.ask("refund", lambda acts: acts.refund(world.staff, transaction_id, minor_units, key="refund"))
    return ask.answer.refund.id if ask.answer is not None and ask.answer.refund is not None else None


async def refund_approved(world: World) -> None:
    """One administrator approves, and another one may reject at the same time."""
    world.gateway.takes_any_refund = True
    if (transaction_id := await _pay(world)) and (
        refund_id := await _refund_that_waits(world, transaction_id, 600)
    ) is not None:
        world.other = Ask("reject", lambda acts: acts.reject(world.admin, refund_id, key="reject"))
        await world.ask("approve", lambda acts: acts.approve(world.admin, refund_id, key="approve"))


async def refund_rejected(world: World) -> None:
    """What was rejected is free again, and the payer takes all of it; unless somebody has approved it at the same time."""
    world.gateway.takes_any_refund = True
    if (transaction_id := await _pay(world)) and (
        refund_id := await _refund_that_waits(world, transaction_id, 600)
    ) is not None:
        world.other = Ask("approve", lambda acts: acts.approve(world.admin, refund_id, key="approve"))
        await world.ask("reject", lambda acts: acts.reject(world.admin, refund_id, key="reject"))
        await world.ask("all", _refund(world, "all", transaction_id, None).act)


async def approval_overtaken(world: World) -> None:
    """While a refund waits, another one is made in the processor's dashboard, and both do not fit."""
    if (transaction_id := await _pay(world)) and (
        refund_id := await _refund_that_waits(world, transaction_id, 600)
    ) is not None:
        world.refund_in_dashboard(700)
        await world.look_around()
        await world.ask("approve", lambda acts: acts.approve(world.admin, refund_id, key="approve"))


SCRIPTS: Mapping[str, Script] = {
    "pay": Script(pay, frozenset({_S.COMPLETED})),
    "decline": Script(decline, frozenset({_S.FAILED})),
    "process": Script(process, frozenset({_S.COMPLETED})),
    "challenge": Script(challenge, frozenset({_S.COMPLETED})),
    "challenge-failed": Script(challenge_failed, frozenset({_S.FAILED, _S.COMPLETED})),
    "challenge-retried": Script(challenge_retried, frozenset({_S.COMPLETED})),
    "challenge-void": Script(challenge_void, frozenset({_S.CANCELED})),
    "capture": Script(capture, frozenset({_S.COMPLETED, _S.CANCELED})),
    "capture-part": Script(capture_part, frozenset({_S.COMPLETED})),
    "void": Script(void, frozenset({_S.COMPLETED, _S.CANCELED})),
    "refund": Script(refund, frozenset({_S.REFUNDED, _S.PARTIALLY_REFUNDED})),
    "refund-parts": Script(refund_parts, frozenset({_S.PARTIALLY_REFUNDED})),
    "refund-exceeding": Script(refund_exceeding, frozenset({_S.PARTIALLY_REFUNDED})),
    "refund-overtakes": Script(refund_overtakes, frozenset({_S.PARTIALLY_REFUNDED})),
    "refund-fails-late": Script(refund_fails_late, frozenset({_S.COMPLETED, _S.REFUNDED})),
    "refund-waits": Script(refund_waits, frozenset({_S.REFUNDED})),
    "refund-elsewhere": Script(refund_elsewhere, frozenset({_S.PARTIALLY_REFUNDED})),
    "refund-approved": Script(refund_approved, frozenset({_S.COMPLETED, _S.PARTIALLY_REFUNDED})),
    "refund-rejected": Script(refund_rejected, frozenset({_S.REFUNDED})),
    "approval-overtaken": Script(approval_overtaken, frozenset({_S.PARTIALLY_REFUNDED})),
    "dispute-won": Script(dispute_won, frozenset({_S.COMPLETED, _S.PARTIALLY_REFUNDED})),
    "dispute-lost": Script(dispute_lost, frozenset({_S.COMPLETED})),
    "dispute-and-refund": Script(dispute_and_refund, frozenset({_S.COMPLETED, _S.PARTIALLY_REFUNDED})),
    "refund-and-dispute": Script(refund_and_dispute, frozenset({_S.PARTIALLY_REFUNDED})),
    "capture-and-refund": Script(capture_and_refund, frozenset({_S.PARTIALLY_REFUNDED})),
}
