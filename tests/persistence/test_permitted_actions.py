"""What a preview allows is what the act does: in every state a transaction may be in, for everybody who may ask."""

from uuid import UUID

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy.ext.asyncio import AsyncEngine

from domain.access import EVERYTHING, Actor, Role
from domain.currencies import Currency
from domain.errors import Forbidden, Refusal
from domain.ledger.entries import sums
from domain.money import Money
from domain.payments.actions import Action, ActionKind, permitted_actions, preview_refund
from domain.payments.attempt import AttemptKind
from domain.payments.refund_policy import RefundPolicy
from domain.payments.transaction import CAPTURED, Transaction, TransactionStatus
from persistence.follow_up_reader import SqlFollowUpReader
from tests.support.acts import Acts
from tests.support.database import empty, rows
from tests.support.ledger import balances
from tests.support.records import add_transaction, attempt, transaction

# How long an example takes depends on who else uses the machine; each one empties the database by itself.
UNHURRIED = settings(
    max_examples=400,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)


@st.composite
def states(draw: st.DrawFn) -> dict[str, object]:
    """A transaction in any status, as the constraints of the table allow it."""
    status = draw(st.sampled_from(TransactionStatus))
    captured = draw(st.integers(1, 1000)) if status in CAPTURED else 0
    reserved = draw(st.integers(0, captured))
    return {
        "status": status,
        "captured": captured,
        "refund_reserved": reserved,
        "refunded": draw(st.integers(0, reserved)),
        "disputed": draw(st.one_of(st.just(0), st.integers(0, captured))),
        "known_to_processor": draw(st.booleans()) or captured > 0,
        "follow_up": draw(st.sampled_from([None, None, AttemptKind.CAPTURE, AttemptKind.VOID])),
    }


async def stored(acts: Acts, owner: Actor, state: dict[str, object]) -> Transaction:
    fields = dict(state)
    known, follow_up = fields.pop("known_to_processor"), fields.pop("follow_up")
    new_id = acts.ids.new()
    reference = f"ch_{new_id.hex}" if known else None
    wanted = transaction(new_id, owner.user_id, processor_reference=reference, **fields)  # type: ignore[arg-type]  # drawn
    made = await add_transaction(acts.units, wanted)  # type: ignore[arg-type]  # watched units are units
    if follow_up is not None:
        async with acts.units.begin() as uow:
            await uow.attempts.add(attempt(acts.ids.new(), made.id, AttemptKind(str(follow_up))))
    return made


async def preview(acts: Acts, who: Actor, of: Transaction) -> dict[ActionKind, Action]:
    counts = await SqlFollowUpReader(acts.engine).open_follow_ups([of.id], EVERYTHING)
    actions = permitted_actions(who, of, follow_up_open=counts.get(of.id, 0) > 0, policy=acts.refund_payment.policy)
    return {action.kind: action for action in actions}


async def refusal_of(acts: Acts, who: Actor, of: Transaction, kind: ActionKind) -> str | None:
    """Why the act refuses; None where it accepts, whatever the processor says to it then."""
    try:
        match kind:
            case ActionKind.CAPTURE:
                await acts.capture(who, of.id)
            case ActionKind.VOID:
                await acts.void(who, of.id)
            case ActionKind.REFUND:
                await acts.refund(who, of.id)
    except (Forbidden, Refusal) as refusal:
        return refusal.message
    return None


@given(state=states(), kind=st.sampled_from(ActionKind), role=st.sampled_from(Role), customers_may_refund=st.booleans())
@UNHURRIED
async def test_what_is_allowed_is_what_the_act_does(
    engine: AsyncEngine, state: dict[str, object], kind: ActionKind, role: Role, customers_may_refund: bool
) -> None:
    await empty(engine)
    acts = Acts(engine=engine, customers_may_refund=customers_may_refund)
    who = await acts.add_actor(role)
    of = await stored(acts, who, state)
    action = (await preview(acts, who, of))[kind]
    attempts = await number_of_attempts(engine)
    assert await refusal_of(acts, who, of, kind) == action.reason
    # What was refused left nothing behind.
    assert (await number_of_attempts(engine) == attempts) is not action.allowed


async def number_of_attempts(engine: AsyncEngine) -> int:
    [(number,)] = await rows(engine, "SELECT count(*) FROM attempts")
    assert isinstance(number, int)
    return number


@given(state=states(), amount=st.one_of(st.none(), st.integers(-1, 1001)), euros=st.booleans())
@settings(max_examples=300, deadline=None)
def test_a_preview_of_a_refund_adds_up(state: dict[str, object], amount: int | None, euros: bool) -> None:
    staff = Actor(user_id=transaction(UUID(int=9), UUID(int=8)).user_id, role=Role.SUPPORT)  # type: ignore[arg-type]  # any
    fields = {name: value for name, value in state.items() if name not in {"known_to_processor", "follow_up"}}
    of = transaction(UUID(int=9), staff.user_id, **fields)  # type: ignore[arg-type]  # drawn
    money = None if amount is None else Money(amount, Currency.EUR if euros else Currency.USD)
    try:
        shown = preview_refund(staff, of, money, policy=RefundPolicy())
    except Refusal:
        return
    assert 0 < shown.money.minor_units <= of.refundable
    assert shown.refundable_after.minor_units == of.refundable - shown.money.minor_units
    assert (shown.status_after is TransactionStatus.REFUNDED) is (of.refunded + shown.money.minor_units == of.captured)
    for posting in shown.postings:
        assert not any(sums(posting.lines).values())


@pytest.mark.parametrize("minor_units", [None, 300])
async def test_what_was_previewed_is_what_the_refund_does(acts: Acts, minor_units: int | None) -> None:
    payer = await acts.add_actor()
    paid = await acts.paid(payer)
    money = None if minor_units is None else Money(minor_units, Currency.USD)
    shown = preview_refund(payer, paid, money, policy=RefundPolicy())
    before = await balances(acts.engine)
    await acts.refund(payer, paid.id, minor_units)
    now, after = await acts.now(paid.id), await balances(acts.engine)
    assert (now.status, now.refundable) == (shown.status_after, shown.refundable_after.minor_units)
    assert now.fee == shown.fee_kept
    for posting in shown.postings:
        for line in posting.lines:
            account = f"{line.account.kind} {line.account.currency}"
            before[account] = before.get(account, 0) + line.minor_units
    assert after == {account: total for account, total in before.items() if total}
