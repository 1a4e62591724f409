"""How a run goes: slice by slice, on where it stopped, beside others, and while payments are being made."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta

import pytest

from domain.access import Actor, Role
from domain.currencies import Currency
from domain.ids import DiscrepancyId, ReconciliationRunId
from domain.money import Money
from domain.payments.gateway import ChargeReport, OutcomeUnknown, RefundReport
from domain.payments.transaction import Transaction, TransactionStatus
from domain.reconciliation.cure import Cure
from domain.reconciliation.discrepancies import SETTLING_TIME, DiscrepancyKind, Resolution, Subject, SubjectKind
from domain.reconciliation.reconcile import OBJECTS_MAX, Progress, Tally
from domain.reconciliation.records import BalanceEntry, Dated, Window
from domain.reconciliation.runs import RunAbandoned
from tests.support.acts import Acts, transaction_in
from tests.support.clock import START
from tests.support.database import make_due, rows
from tests.support.fake_records import FakeRecords
from tests.support.reconciliation import Books, cured, kinds, the_one
from tests.support.statements import counted

HOUR = timedelta(hours=1)


@pytest.fixture
async def ada(books: Books) -> Actor:
    return await books.acts.add_actor()


async def payments(books: Books, ada: Actor, number: int, *, every: timedelta = HOUR) -> list[Transaction]:
    """So many payments, one after the other."""
    made = []
    for each in range(number):
        made.append(await books.paid(ada, f"payment {each}"))
        books.acts.clock.advance(every)
    return made


def lose(books: Books, *paid: Transaction) -> None:
    """The processor has never heard of these."""
    for each in paid:
        assert each.processor_reference is not None
        books.acts.gateway.forget(each.processor_reference)


class Interrupted(Exception):
    """A run is broken off."""


async def break_off(books: Books, *, after: int) -> list[Progress]:
    """Run, and break off after so many slices."""
    seen: list[Progress] = []

    def hear(progress: Progress) -> None:
        seen.append(progress)
        if len(seen) == after:
            raise Interrupted

    with pytest.raises(Interrupted):
        await books.reconcile(books.window, on_slice=hear)
    return seen


async def test_a_run_goes_on_where_it_stopped(books: Books, ada: Actor) -> None:
    made = await payments(books, ada, 60)
    lose(books, made[1], made[30], made[59])
    books.settle()
    before = await break_off(books, after=2)
    after: list[Progress] = []
    report = await books.reconcile(books.window, on_slice=after.append)
    assert report.resumed_at == before[-1].slice.end == after[0].slice.start
    assert kinds(report) == [DiscrepancyKind.MISSING_AT_PROCESSOR] * 3
    assert (report.counts.charges, report.counts.transactions) == (57, 60)
    # Done is done: the same window begins anew.
    again = await books.reconcile(books.window)
    assert (again.resumed_at, again.counts) == (None, report.counts)
    assert [each.id for each in again.discrepancies] == [each.id for each in report.discrepancies]


async def test_a_restart_begins_anew_and_ends_whoever_worked_on_the_old_run(books: Books, ada: Actor) -> None:
    made = await payments(books, ada, 12)
    lose(books, made[0])
    books.settle()
    await break_off(books, after=2)
    window = books.window
    async with books.acts.units.autocommit() as uow:
        old = await uow.reconciliation_runs.open(
            ReconciliationRunId(books.acts.ids.new()), window, books.acts.clock.now()
        )
    report = await books.reconcile(window, restart=True)
    assert (report.resumed_at, report.counts.charges) == (None, 11)
    assert report.run_id != old.id

    restarted = asyncio.Event()

    class RestartedMeanwhile(FakeRecords):
        async def charges(self, window: Window) -> AsyncIterator[Dated[ChargeReport]]:
            if not restarted.is_set():
                restarted.set()
                async with books.acts.units.autocommit() as uow:
                    await uow.reconciliation_runs.abandon(books.window, books.acts.clock.now())
            async for charge in super().charges(window):
                yield charge

    books.records = RestartedMeanwhile(books.acts.gateway)
    books.assemble()
    with pytest.raises(RunAbandoned):
        await books.reconcile(window)


async def test_two_runs_at_once_find_what_one_finds(books: Books, ada: Actor) -> None:
    made = await payments(books, ada, 40)
    lose(books, made[3], made[20])
    missed = made[10]
    assert missed.processor_reference is not None
    books.acts.gateway.falsify(missed.processor_reference, fee=Money(99, Currency.USD))
    books.settle()
    first, second = await asyncio.gather(books.reconcile(books.window), books.reconcile(books.window))
    assert first.run_id == second.run_id
    for report in (first, second):
        assert sorted(kinds(report)) == ["FEE_DIFFERS", "MISSING_AT_PROCESSOR", "MISSING_AT_PROCESSOR"]
    # The one that is done first may tell of it before the other has cured it.
    assert cured(first) == [DiscrepancyKind.FEE_DIFFERS] or cured(second) == [DiscrepancyKind.FEE_DIFFERS]
    missing = ("MISSING_AT_PROCESSOR", None)
    assert sorted(await books.stored(), key=str) == [("FEE_DIFFERS", "CURED"), missing, missing]
    assert first.counts == second.counts
    assert first.counts.transactions == 40


async def test_what_one_process_has_cured_another_does_not_take_for_gone_by_itself(
    books: Books, ada: Actor, monkeypatch: pytest.MonkeyPatch
) -> None:
    paid = await books.paid(ada)
    assert paid.processor_reference is not None
    books.acts.gateway.falsify(paid.processor_reference, fee=Money(99, Currency.USD))
    cure = Cure.__call__

    async def another_looks_before_it_is_written_down(self: Cure, subject: Subject) -> None:
        await cure(self, subject)
        monkeypatch.undo()
        await books.reconcile.settle(subject, Tally())

    monkeypatch.setattr(Cure, "__call__", another_looks_before_it_is_written_down)
    assert cured(await books.run()) == [DiscrepancyKind.FEE_DIFFERS]
    assert await books.stored() == [("FEE_DIFFERS", "CURED")]


async def test_a_look_that_began_before_another_process_was_done_tells_nothing_new(books: Books, ada: Actor) -> None:
    paid = await books.paid(ada)
    assert paid.processor_reference is not None
    books.acts.gateway.falsify(paid.processor_reference, fee=Money(99, Currency.USD))
    books.settle()
    subject = Subject(SubjectKind.CHARGE, paid.processor_reference)
    looked_at = books.acts.clock.now()
    seen = await books.examine(subject)
    books.acts.clock.advance(timedelta(seconds=1))
    report = await books.run()
    assert the_one(report).resolution is Resolution.CURED
    async with books.acts.units.begin() as uow:
        [difference] = seen.differences
        recorded = await uow.discrepancies.record(DiscrepancyId(books.acts.ids.new()), difference, looked_at)
    assert recorded == the_one(report).id
    assert await books.stored() == [("FEE_DIFFERS", "CURED")]


async def test_what_is_gone_is_resolved_by_the_next_run(books: Books, ada: Actor) -> None:
    paid = await books.paid(ada)
    assert paid.processor_reference is not None
    books.acts.gateway.falsify(paid.processor_reference, captured=990)
    assert the_one(await books.run()).resolution is None
    books.acts.gateway.falsify(paid.processor_reference, captured=1000)
    assert (await books.run()).discrepancies == []
    assert await books.stored() == [("AMOUNT_DIFFERS", "NO_LONGER_SEEN")]
    # It happens again: that is another discrepancy, with a beginning of its own.
    books.acts.gateway.falsify(paid.processor_reference, captured=990)
    await books.run()
    assert await books.stored() == [("AMOUNT_DIFFERS", "NO_LONGER_SEEN"), ("AMOUNT_DIFFERS", None)]


async def test_what_is_gone_is_resolved_although_its_payment_is_outside_the_window(books: Books, ada: Actor) -> None:
    paid = await books.paid(ada)
    assert paid.processor_reference is not None
    books.acts.gateway.falsify(paid.processor_reference, captured=990)
    await books.run()
    books.acts.gateway.falsify(paid.processor_reference, captured=1000)
    books.acts.clock.advance(timedelta(days=3))
    now = books.acts.clock.now()
    report = await books.reconcile(Window(now - timedelta(days=1), now))
    assert (report.counts.objects, report.discrepancies) == (0, [])
    assert await books.stored() == [("AMOUNT_DIFFERS", "NO_LONGER_SEEN")]


async def test_an_open_discrepancy_is_not_resolved_while_its_payment_is_under_way(books: Books, ada: Actor) -> None:
    paid = await books.paid(ada)
    assert paid.processor_reference is not None
    books.acts.gateway.falsify(paid.processor_reference, captured=990)
    found = the_one(await books.run())
    await books.acts.refund(ada, paid.id, 100)
    await books.reconcile.settle(found.difference.subject, Tally())
    assert await books.stored() == [("AMOUNT_DIFFERS", None)]
    assert [each.id for each in (await books.run()).discrepancies] == [found.id]


async def test_what_a_person_has_resolved_stays_so_until_either_side_says_something_else(
    books: Books, ada: Actor
) -> None:
    paid = await books.paid(ada)
    assert paid.processor_reference is not None
    books.acts.gateway.falsify(paid.processor_reference, captured=990)
    found = the_one(await books.run())
    admin = await books.acts.add_actor(Role.ADMIN)
    async with books.acts.units.begin() as uow:
        now = books.acts.clock.now()
        await uow.discrepancies.resolve_by_person(found.id, admin.user_id, "The bank kept ten cents.", now)
    again = the_one(await books.run())
    assert (again.id, again.resolution, again.resolved_by) == (found.id, Resolution.BY_PERSON, admin.user_id)
    assert again.last_seen_at > found.last_seen_at
    books.acts.gateway.falsify(paid.processor_reference, captured=980)
    other = the_one(await books.run())
    assert (other.id == found.id, other.resolution) == (False, None)


async def test_what_is_under_way_is_no_discrepancy(books: Books, ada: Actor) -> None:
    # Its outcome has just been lost, and the attempt is looked at in five seconds.
    books.acts.gateway.lose_next_answer("confirm_charge")
    pending = transaction_in(await books.acts.pay(ada))
    assert pending.status is TransactionStatus.PENDING
    books.settle()
    assert (await books.dry_run()).differences == []
    # The worker is gone: nobody looks.
    await make_due(books.acts.engine)
    assert kinds(await books.dry_run()) == [DiscrepancyKind.MISSING_HERE]
    assert cured(await books.run()) == [DiscrepancyKind.MISSING_HERE]
    assert (await books.acts.now(pending.id)).status is TransactionStatus.COMPLETED
    told = await rows(
        books.acts.engine, "SELECT details ->> 'via' FROM audit_entries WHERE action = 'transaction.completed'"
    )
    assert told == [("reconciliation",)]


@pytest.mark.parametrize("dry", [False, True])
async def test_what_may_still_be_under_way_is_waited_for(books: Books, ada: Actor, dry: bool) -> None:
    made = await payments(books, ada, 3, every=timedelta(seconds=10))
    lose(books, made[0], made[2])
    run = books.reconcile.dry_run if dry else books.reconcile
    waited_for: list[int] = []
    # To its end, though that is still to come: the processor's clock may be ahead of ours.
    report = await run(Window(START - HOUR, books.acts.clock.now() + 24 * HOUR), on_wait=waited_for.append)
    assert kinds(report) == [DiscrepancyKind.MISSING_AT_PROCESSOR] * 2
    assert (waited_for, books.pauses) == ([2], [SETTLING_TIME])


async def test_nothing_is_waited_for_where_both_sides_agree(books: Books, ada: Actor) -> None:
    await payments(books, ada, 2, every=timedelta(seconds=10))
    assert (await books.reconcile(books.window)).discrepancies == []
    assert books.pauses == []


async def test_a_run_that_was_killed_compares_again_what_had_not_settled(books: Books, ada: Actor) -> None:
    made = await payments(books, ada, 2, every=timedelta(seconds=10))
    window = books.window

    async def die(_: timedelta) -> None:
        raise Interrupted

    lose(books, *made)
    books.reconcile._pause = die
    with pytest.raises(Interrupted):
        await books.reconcile(window)
    books.assemble()
    report = await books.reconcile(window)
    assert report.resumed_at is not None
    assert kinds(report) == [DiscrepancyKind.MISSING_AT_PROCESSOR] * 2


async def test_charges_of_others_are_counted_and_reported_where_the_account_is_ours_alone(
    books: Books, ada: Actor
) -> None:
    paid = await books.paid(ada)
    assert paid.processor_reference is not None
    foreign = books.acts.gateway.add_foreign_charge(paid.processor_reference)
    report = await books.run()
    assert (report.counts.charges, report.counts.foreign, report.discrepancies) == (2, 1, [])
    books.account_is_ours_alone = True
    books.assemble()
    found = the_one(await books.run())
    assert found.difference.kind is DiscrepancyKind.FOREIGN_CHARGE
    assert found.difference.subject == Subject(SubjectKind.CHARGE, foreign)
    assert (found.difference.processor, found.difference.ours) == (Money(1000, Currency.USD), None)


class RepeatedPages(FakeRecords):
    """Every object comes twice, as when a page is read again after its answer was lost."""

    async def charges(self, window: Window) -> AsyncIterator[Dated[ChargeReport]]:
        for _ in range(2):
            async for charge in super().charges(window):
                yield charge

    async def refunds(self, window: Window) -> AsyncIterator[Dated[RefundReport]]:
        for _ in range(2):
            async for refund in super().refunds(window):
                yield refund

    async def balance_entries(self, window: Window) -> AsyncIterator[BalanceEntry]:
        for _ in range(2):
            async for entry in super().balance_entries(window):
                yield entry


async def test_an_object_that_is_listed_twice_counts_once(books: Books, ada: Actor) -> None:
    made = await payments(books, ada, 3)
    await books.acts.refund(ada, made[0].id, 100)
    books.records = RepeatedPages(books.acts.gateway)
    books.assemble()
    report = await books.run()
    assert report.discrepancies == []
    assert (report.counts.charges, report.counts.refunds, report.counts.balance_entries) == (3, 1, 4)


class ChangingBetweenPages(FakeRecords):
    """Something happens at the processor, and is told to us, after it was listed."""

    def __init__(self, acts: Acts, held: Transaction, staff: Actor) -> None:
        super().__init__(acts.gateway)
        self._acts = acts
        self._held = held
        self._staff = staff
        self._happened = False

    async def refunds(self, window: Window) -> AsyncIterator[Dated[RefundReport]]:
        if not self._happened and window.holds(self._held.created_at):
            self._happened = True
            await self._acts.capture(self._staff, self._held.id)
        async for refund in super().refunds(window):
            yield refund


async def test_an_object_that_changes_between_two_lists_is_no_discrepancy(books: Books, ada: Actor) -> None:
    held = await books.acts.hold(ada)
    staff = await books.acts.add_actor(Role.SUPPORT)
    books.records = ChangingBetweenPages(books.acts, held, staff)
    books.assemble()
    report = await books.run()
    assert (await books.acts.now(held.id)).status is TransactionStatus.COMPLETED
    assert report.discrepancies == []
    assert await books.stored() == []


async def test_payments_that_change_while_it_runs_raise_no_alarm(books: Books, ada: Actor) -> None:
    acts = books.acts
    made = await payments(books, ada, 12)
    held = [await acts.hold(ada, f"held {number}") for number in range(6)]
    staff = await acts.add_actor(Role.SUPPORT)
    acts.clock.advance(timedelta(days=1))
    over = asyncio.Event()

    async def change() -> None:
        for paid, authorized in zip(made[:6], held, strict=True):
            await acts.refund(ada, paid.id, 100, key=f"refund {paid.id}")
            await acts.capture(staff, authorized.id, 500, key=f"capture {authorized.id}")
        for paid in made[6:]:
            await acts.refund(ada, paid.id, key=f"all of {paid.id}")
            await acts.paid(ada, f"new, beside {paid.id}")
        over.set()

    async def watch() -> int:
        looks = 0
        while not over.is_set():
            report = await books.reconcile(books.window)
            assert report.discrepancies == []
            looks += 1
        return looks

    _, looks = await asyncio.gather(change(), watch())
    assert looks > 1
    # And what came of it all agrees.
    assert (await books.run()).discrepancies == []
    assert await books.stored() == []


async def test_a_list_that_breaks_off_leaves_a_run_that_goes_on(books: Books, ada: Actor) -> None:
    made = await payments(books, ada, 30)
    lose(books, made[2], made[29])

    class Broken(FakeRecords):
        async def balance_entries(self, window: Window) -> AsyncIterator[BalanceEntry]:
            if window.start > START + 3 * HOUR:
                raise OutcomeUnknown("the processor is away")
            async for entry in super().balance_entries(window):
                yield entry

    books.records = Broken(books.acts.gateway)
    books.assemble()
    books.settle()
    with pytest.raises(OutcomeUnknown):
        await books.reconcile(books.window)
    books.records = FakeRecords(books.acts.gateway)
    books.assemble()
    report = await books.reconcile(books.window)
    assert report.resumed_at is not None
    assert report.resumed_at > START + 3 * HOUR
    assert (len(report.discrepancies), report.counts.transactions) == (2, 30)


async def test_a_slice_that_holds_too_much_is_cut(books: Books, ada: Actor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("domain.reconciliation.reconcile.OBJECTS_MAX", 10)
    made = await payments(books, ada, 20, every=timedelta(seconds=30))
    # All of these in the same second: less than that a slice cannot be.
    await asyncio.gather(*(books.paid(ada, f"at once {number}") for number in range(12)))
    lose(books, made[7])
    books.settle()
    slices: list[Window] = []
    report = await books.reconcile(books.window, on_slice=lambda progress: slices.append(progress.slice))
    assert [each.end for each in slices[:-1]] == [each.start for each in slices[1:]]
    assert timedelta(seconds=1) in {each.length for each in slices}
    assert (report.counts.transactions, len(report.discrepancies)) == (32, 1)
    assert OBJECTS_MAX == 4_000


async def test_our_side_of_a_slice_costs_the_same_statements_whatever_its_size(books: Books, ada: Actor) -> None:
    taken = []
    for number in (2, 20):
        made = await payments(books, ada, 0)
        for each in range(number):
            made.append(await books.paid(ada, f"{number} {each}"))
            await books.acts.refund(ada, made[-1].id, 100, key=f"{number} {each}")
        books.settle()
        with counted(books.acts.engine) as statements:
            await books.reconcile.dry_run(books.window)
        taken.append(len(statements))
    assert taken[0] == taken[1]
    # One slice of an hour with everything in it, and one more: transactions, refunds and disputes in each.
    assert taken[0] % 3 == 0


async def test_looking_again_passes_over_what_was_seen_lately(books: Books, ada: Actor) -> None:
    made = await payments(books, ada, 3, every=timedelta(seconds=1))
    lose(books, *made)
    await books.run()
    tally = Tally()
    await books.reconcile.look_again(books.acts.clock.now() - timedelta(minutes=10), 2, tally)
    assert tally.found == 0
    books.acts.clock.advance(timedelta(minutes=11))
    await books.reconcile.look_again(books.acts.clock.now() - timedelta(minutes=10), 2, tally)
    assert tally.found == 2
