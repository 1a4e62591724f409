"""The audit chain in a real database: linked at every commit, never held up, and telling of whatever was done to it."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from uuid import UUID

import asyncpg
import pytest
from sqlalchemy import exc, text
from sqlalchemy.ext.asyncio import AsyncEngine

from domain.access import Role
from domain.audit import AuditAction, AuditEntry
from domain.audit_chain import Head, Verdict, read_anchors, verify
from domain.ids import AuditEntryId, IdKind, encode
from domain.messaging.webhook_events import EventState, EventSubject
from domain.text import JsonValue
from persistence.audit_chain import SqlAuditChains
from persistence.engine import open_engine
from persistence.unit_of_work import SqlUnitsOfWork
from tests.support.acts import Acts
from tests.support.clock import SequentialIds
from tests.support.database import as_owner, past_triggers, patient_config, rows
from tests.support.records import add_transaction, audit_entry, transaction, user

ANOTHER = AuditEntryId(UUID(int=1 << 120))
DETAILS: Sequence[dict[str, JsonValue]] = [
    {},
    {"amountMinor": "1000", "a": None, "longer": True},
    {"text": 'line\nbreak \t "quoted" \\ / é 漢字 \U0001f4b6 \x01 \x7f'},
    {"numbers": [0, -1, 9007199254740993, 1.5, 1e300], "nested": {"b": [], "a": {}}},
]


@pytest.fixture
async def written(units: SqlUnitsOfWork) -> list[AuditEntry]:
    """Forty entries, each of a unit of work of its own, one without a transaction, details of every kind."""
    ids = SequentialIds()
    payer = user(ids.new())
    async with units.begin() as uow:
        await uow.users.add(payer)
    paid = await add_transaction(units, transaction(ids.new(), payer.id))
    entries = []
    for number in range(40):
        entry = replace(
            audit_entry(ids.new(), paid),
            details=DETAILS[number % len(DETAILS)],
            transaction_id=None if number == 20 else paid.id,
            actor_id=None if number % 2 else payer.id,
        )
        async with units.begin() as uow:
            await uow.audit.append(replace(entry, at=entry.at + timedelta(microseconds=number)))
        entries.append(entry)
    return entries


async def check(engine: AsyncEngine, anchors: dict[int, Head] | None = None) -> Verdict:
    return await verify(SqlAuditChains(engine), anchors or {})


async def tamper(engine: AsyncEngine, *statements: str, **values: object) -> None:
    """Change what no role of the application can change, as somebody with every right would."""
    async with past_triggers(engine) as connection:
        for statement in statements:
            await connection.execute(text(statement), values)


async def place_of(engine: AsyncEngine, entry: AuditEntry) -> tuple[int, int]:
    [(chain, position)] = await rows(
        engine, "SELECT chain, position FROM audit_links WHERE entry_id = :id", id=entry.id
    )
    assert isinstance(chain, int)
    assert isinstance(position, int)
    return chain, position


async def test_what_was_written_is_found_intact(engine: AsyncEngine, written: list[AuditEntry]) -> None:
    verdict = await check(engine)
    assert verdict.breaches == []
    assert verdict.entries == len(written)
    assert len(verdict.heads) == 16
    # Units of work are spread over the chains; how evenly, depends on what else the server does meanwhile.
    assert sum(head.length > 0 for head in verdict.heads) > 1


async def test_the_order_in_the_chain_is_that_of_the_unit_of_work(engine: AsyncEngine, units: SqlUnitsOfWork) -> None:
    ids = SequentialIds()
    payer = user(ids.new())
    async with units.begin() as uow:
        await uow.users.add(payer)
        paid = transaction(ids.new(), payer.id)
        await uow.transactions.add(paid)
        entries = [audit_entry(ids.new(), paid, action) for action in AuditAction]
        for entry in entries:
            await uow.audit.append(entry)
    assert (await check(engine)).breaches == []
    found = await rows(engine, "SELECT entry_id FROM audit_links ORDER BY chain, position")
    assert [entry_id for (entry_id,) in found] == [entry.id for entry in entries]


async def test_a_unit_of_work_that_breaks_off_leaves_no_gap(
    engine: AsyncEngine, units: SqlUnitsOfWork, written: list[AuditEntry]
) -> None:
    async def break_off() -> None:
        async with units.begin() as uow:
            await uow.audit.append(replace(written[0], id=ANOTHER))
            raise RuntimeError("enough")

    for _ in range(20):
        with pytest.raises(RuntimeError):
            await break_off()
    verdict = await check(engine)
    assert (verdict.breaches, verdict.entries) == ([], len(written))


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE audit_entries SET details = details",
        "DELETE FROM audit_entries",
        "TRUNCATE audit_entries",
        "UPDATE audit_links SET hash = hash WHERE false",
        "DELETE FROM audit_links",
        "TRUNCATE audit_links",
        "DELETE FROM audit_heads",
        "TRUNCATE audit_heads",
    ],
)
async def test_every_change_is_refused(engine: AsyncEngine, written: list[AuditEntry], change: str) -> None:
    with pytest.raises(exc.IntegrityError, match="is refused: rows are only ever added to it"):
        async with as_owner(engine) as connection:
            await connection.execute(text(change))
    verdict = await check(engine)
    assert (verdict.breaches, verdict.entries) == ([], len(written))


@pytest.mark.parametrize(
    "change",
    [
        "number = DEFAULT",
        "transaction_id = NULL",
        "action = 'transaction.failed'",
        "actor_kind = 'SYSTEM'",
        "actor_id = NULL",
        "actor_id = transaction_id",
        """details = '{"amountMinor": "1"}'""",
        "at = at + interval '1 microsecond'",
        "at = 'infinity'",
        "at = '0044-03-15 BC'",
    ],
)
async def test_an_entry_that_was_changed_is_named(engine: AsyncEngine, written: list[AuditEntry], change: str) -> None:
    victim = written[8]
    chain, position = await place_of(engine, victim)
    await tamper(engine, f"UPDATE audit_entries SET {change} WHERE id = :id", id=victim.id)  # noqa: S608  the test's own
    [breach] = (await check(engine)).breaches
    name = encode(IdKind.AUDIT_ENTRY, victim.id)
    assert breach.startswith(f"chain {chain}: position {position}, {name}")
    assert breach.endswith(": it is not what was written there")
    if "transaction_id = NULL" not in change:
        assert victim.transaction_id is not None
        assert encode(IdKind.TRANSACTION, victim.transaction_id) in breach


async def test_only_the_first_broken_entry_of_each_chain_is_named(
    engine: AsyncEngine, written: list[AuditEntry]
) -> None:
    await tamper(engine, "UPDATE audit_entries SET action = 'transaction.failed'")
    verdict = await check(engine)
    assert [breach.split(",")[0] for breach in verdict.breaches] == [f"chain {n}: position 1" for n in range(16)]


async def test_an_entry_that_was_removed_is_named(engine: AsyncEngine, written: list[AuditEntry]) -> None:
    victim = written[3]
    chain, position = await place_of(engine, victim)
    name = encode(IdKind.AUDIT_ENTRY, victim.id)
    await tamper(engine, "DELETE FROM audit_entries WHERE id = :id", id=victim.id)
    assert (await check(engine)).breaches == [f"chain {chain}: position {position}, {name}: the entry was removed"]
    # Together with its link.
    await tamper(engine, "DELETE FROM audit_links WHERE entry_id = :id", id=victim.id)
    [breach] = (await check(engine)).breaches
    assert breach.startswith(f"chain {chain}: position {position}: removed; the next that is there is aud_")


async def test_two_entries_that_changed_places_are_noticed(engine: AsyncEngine, written: list[AuditEntry]) -> None:
    one, other = written[4], written[5]
    await tamper(
        engine,
        "UPDATE audit_links SET entry_id = CASE entry_id WHEN :one THEN CAST(:other AS uuid) ELSE :one END"
        " WHERE entry_id IN (:one, :other)",
        one=one.id,
        other=other.id,
    )
    assert len((await check(engine)).breaches) == 2


async def test_a_tail_that_was_removed_is_noticed(engine: AsyncEngine, written: list[AuditEntry]) -> None:
    before = await check(engine)
    last = written[-1]
    chain, position = await place_of(engine, last)
    await tamper(
        engine,
        "DELETE FROM audit_links WHERE entry_id = :id",
        "DELETE FROM audit_entries WHERE id = :id",
        id=last.id,
    )
    [breach] = (await check(engine)).breaches
    assert breach == f"chain {chain}: positions {position} to {position}: the end was removed"
    # Whoever mends the head as well is found by what was noted down before.
    await tamper(
        engine,
        "UPDATE audit_heads SET length = length - 1, hash ="
        " (SELECT hash FROM audit_links AS l WHERE l.chain = :chain AND l.position = :position - 1) WHERE chain = :chain",
        chain=chain,
        position=position,
    )
    assert (await check(engine)).breaches == []
    anchors = read_anchors("\n".join(map(str, before.heads)))
    [breach] = (await check(engine, anchors)).breaches
    assert breach == f"chain {chain}: positions {position} to {position}: removed since the anchor was noted down"


async def test_a_chain_that_was_written_anew_does_not_fit_its_anchor(
    engine: AsyncEngine, units: SqlUnitsOfWork, written: list[AuditEntry]
) -> None:
    anchors = {head.chain: head for head in (await check(engine)).heads}
    async with units.begin() as uow:
        await uow.audit.append(replace(written[0], id=ANOTHER))
    assert (await check(engine, anchors)).breaches == []
    chain, position = await place_of(engine, written[-1])
    # With every right one can do this, and all hashes are right again.
    await tamper(
        engine,
        "UPDATE audit_entries SET action = 'transaction.failed' WHERE id = :id",
        "UPDATE audit_links AS l SET hash = audit_hash("
        " (SELECT p.hash FROM audit_links AS p WHERE p.chain = l.chain AND p.position = l.position - 1),"
        " l.chain, l.position, e) FROM audit_entries AS e WHERE e.id = l.entry_id AND l.entry_id = :id",
        "UPDATE audit_heads AS h SET hash = l.hash FROM audit_links AS l"
        " WHERE l.chain = h.chain AND l.position = h.length AND l.entry_id = :id",
        id=written[-1].id,
    )
    assert (await check(engine)).breaches == []
    [breach] = (await check(engine, anchors)).breaches
    assert breach.startswith(f"chain {chain}: position {position}, aud_")
    assert breach.endswith(" is not what it was when the anchor was noted down")


async def test_what_was_slipped_in_is_named(engine: AsyncEngine, written: list[AuditEntry]) -> None:
    [(head,)] = await rows(engine, "SELECT length FROM audit_heads WHERE chain = 2")
    await tamper(
        engine,
        "INSERT INTO audit_entries (id, action, actor_kind, details, at)"
        " VALUES ('00000000-0000-0000-0000-00000000beef', 'refund.completed', 'SYSTEM', '{}', now())",
    )
    [breach] = (await check(engine)).breaches
    assert breach.startswith("aud_0000000000000000000000000000beef belongs to no chain: it was inserted past")
    await tamper(
        engine,
        "INSERT INTO audit_links SELECT 2, length + 1, '00000000-0000-0000-0000-00000000beef', sha256('') FROM audit_heads"
        " WHERE chain = 2",
    )
    assert isinstance(head, int)
    [breach] = (await check(engine)).breaches
    assert breach == f"chain 2: positions {head + 1} to {head + 1}: they were added past the chain's head"


async def test_a_head_that_was_changed_is_noticed(engine: AsyncEngine, written: list[AuditEntry]) -> None:
    await tamper(engine, "UPDATE audit_heads SET hash = sha256('') WHERE chain = 5")
    [breach] = (await check(engine)).breaches
    assert breach.startswith("chain 5: position ")
    assert breach.endswith(": its hash is not the one in the chain's head")


async def test_without_heads_nothing_more_can_be_written(
    engine: AsyncEngine, units: SqlUnitsOfWork, written: list[AuditEntry]
) -> None:
    await tamper(engine, "CREATE TABLE kept AS SELECT * FROM audit_heads", "DELETE FROM audit_heads")
    try:
        assert (await check(engine)).breaches == [f"chain {n}: its head was removed" for n in range(16)]
        with pytest.raises(asyncpg.RaiseError, match="has lost its head"):
            async with units.begin() as uow:
                await uow.audit.append(replace(written[0], id=ANOTHER))
        assert await rows(engine, "SELECT count(*) FROM audit_entries") == [(len(written),)]
    finally:
        await tamper(engine, "INSERT INTO audit_heads SELECT * FROM kept", "DROP TABLE kept")


async def test_a_long_chain_is_read_in_pages(
    engine: AsyncEngine, units: SqlUnitsOfWork, written: list[AuditEntry], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("persistence.audit_chain._LINKS_AT_A_TIME", 2)
    told: list[tuple[int, int]] = []
    verdict = await verify(SqlAuditChains(engine), {}, lambda done, total: told.append((done, total)))
    assert verdict.breaches == []
    assert told == [(n, len(written)) for n in range(1, len(written) + 1)]


async def test_entries_may_be_added_while_the_chain_is_verified(
    engine: AsyncEngine, units: SqlUnitsOfWork, written: list[AuditEntry], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("persistence.audit_chain._LINKS_AT_A_TIME", 1)

    async def add(first: int) -> None:
        for number in range(first, first + 60):
            async with units.begin() as uow:
                await uow.audit.append(replace(written[0], id=AuditEntryId(UUID(int=number))))

    adding = asyncio.gather(add(1), add(1000))
    verdicts = [await check(engine) for _ in range(3)]
    await adding
    assert [verdict.breaches for verdict in [*verdicts, await check(engine)]] == [[]] * 4


async def test_a_hundred_and_thirty_acts_at_once_do_not_deadlock(app_database_url: str, engine: AsyncEngine) -> None:
    own = open_engine(replace(patient_config(app_database_url), pool_size=32))
    acts = Acts(engine=own)
    payer, staff = await acts.add_actor(), await acts.add_actor(Role.SUPPORT)
    paid = await asyncio.gather(*(acts.paid(payer, f"paid-{n}") for n in range(25)))
    held = await asyncio.gather(*(acts.hold(payer, f"held-{n}") for n in range(10)))
    deadlocks = "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()"
    before = await rows(engine, deadlocks)

    async def tell(number: int) -> EventState:
        event = acts.event(f"evt_at_once_{number}", EventSubject.CHARGE, held[number % 10].processor_reference)
        return (await acts.webhooks.apply([event])).state

    answers, states = await asyncio.gather(
        asyncio.gather(
            *(acts.pay(payer, f"pay-{n}") for n in range(40)),
            *(acts.refund(payer, paid[n % 25].id, 100, key=f"refund-{n}") for n in range(50)),
            *(acts.capture(staff, held[n].id, key=f"capture-{n}") for n in range(10)),
        ),
        asyncio.gather(*map(tell, range(30))),
    )
    assert [answer.refusals for answer in answers] == [()] * 100
    assert EventState.QUARANTINED not in states
    verdict = await check(engine)
    assert verdict.breaches == []
    assert await rows(engine, "SELECT count(*) FROM audit_entries") == [(verdict.entries,)]
    assert await rows(engine, deadlocks) == before
    await own.dispose()


async def test_no_chain_is_held_by_whoever_has_not_come_to_the_commit(
    engine: AsyncEngine, units: SqlUnitsOfWork, written: list[AuditEntry]
) -> None:
    async with units.begin() as slow:
        await slow.audit.append(replace(written[0], id=ANOTHER))
        # One of these is of the slow one's chain.
        for number in range(32):
            async with units.begin() as uow:
                await uow.audit.append(replace(written[0], id=AuditEntryId(UUID(int=1000 + number))))
    assert (await check(engine)).breaches == []
