"""Puts everything together: the one place that names the concrete classes behind the ports."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Protocol

from sqlalchemy.ext.asyncio import AsyncEngine

from api.access_tokens import AccessTokens
from api.graphiql import GraphiqlConfig
from api.graphql.context import Acts
from api.graphql.execution import Unfinished
from api.graphql.readers import Readers
from api.graphql.trusted import Admission
from api.server import Services
from app.alerts import LoggedAlerts
from app.database_checks import durability_complaint
from app.identity_providers import Providers, admit_over, providers_of, sign_in_pages, vouched_over
from app.limiting import Limiting, limiting
from app.metrics import Metrics
from app.metrics_server import serving_metrics
from app.password_hashing import Argon2Passwords
from app.people import people_acts, send_mails
from app.settings import Settings
from app.settings_group import Environment
from app.time_and_ids import SystemClock, TimeOrderedIds
from domain.errors import Unavailable
from domain.identity.administer_users import AdministerUsers
from domain.identity.authenticate_key import AuthenticateKey
from domain.identity.create_api_key import CreateApiKey
from domain.identity.passwords import PasswordHasher
from domain.identity.prune import PruneIdentity
from domain.identity.revoke_api_key import RevokeApiKey
from domain.messaging.apply_webhooks import ApplyWebhooks
from domain.messaging.event_source import EventSource, OwnAccount
from domain.messaging.prune_events import PruneEvents
from domain.messaging.reapply_webhook import ReapplyWebhook
from domain.messaging.receive_webhook import ReceiveWebhook
from domain.messaging.sweep_events import SweepEvents
from domain.payments.authorized import AuthorizedPayments
from domain.payments.create_payment import CreatePayment
from domain.payments.decide_refund import DecideRefund
from domain.payments.gateway import PaymentGateway
from domain.payments.orphans import OrphanSweep
from domain.payments.outcomes import Outcomes
from domain.payments.recovery import Recovery
from domain.payments.refresh import Refresh
from domain.payments.refund_payment import RefundPayment
from domain.payments.resolve_attempt import ResolveAttempt
from domain.payments.runner import AttemptRunner
from domain.ports import Clock, IdSource
from domain.reconciliation.cure import Cure
from domain.reconciliation.examination import Examination
from domain.reconciliation.reconcile import Reconcile
from domain.reconciliation.records import ProcessorRecords
from domain.reconciliation.resolve_discrepancy import ResolveDiscrepancy
from domain.reconciliation.slices import Slices
from domain.reconciliation.sweeps import ReconcileAll, ReconcileRecent
from domain.sweeps import Sweep
from gateways.stripe.events import StripeWebhookVerifier
from gateways.stripe.excerpt import excerpt
from gateways.stripe.gateway import StripeGateway
from gateways.stripe.records import StripeRecords
from persistence.api_keys import SqlApiKeyReader, SqlKeyDirectory
from persistence.attempt_reader import SqlAttemptReader
from persistence.discrepancies import SqlDiscrepancyReader
from persistence.dispute_reader import SqlDisputeReader
from persistence.engine import DatabaseConfig, open_engine
from persistence.follow_up_reader import SqlFollowUpReader
from persistence.identity_reader import SqlIdentityReader
from persistence.inbox import SqlInboxReader
from persistence.ledger_reader import SqlLedgerReader
from persistence.open_work import SqlOpenWorkReader
from persistence.own_records import SqlOwnRecords
from persistence.reader import SqlReader
from persistence.schema import current_revision, head_revision
from persistence.trusted_documents import SqlTrustedDocuments
from persistence.unit_of_work import SqlUnitsOfWork
from persistence.wakeups import ListenForWakeups, RingByNotify
from worker.alerts import AlertSweep
from worker.runner import Worker, WorkerConfig
from worker.sweeps import Sweeper


class Gateway(PaymentGateway, OwnAccount, Protocol):
    """The processor in all that it is asked for."""


@dataclass(frozen=True, slots=True)
class Parts:
    """What API and worker have in common."""

    settings: Settings
    engine: AsyncEngine
    units: SqlUnitsOfWork
    reader: SqlReader
    gateway: Gateway
    clock: Clock
    ids: IdSource
    outcomes: Outcomes
    runner: AttemptRunner
    refresh: Refresh
    webhooks: ApplyWebhooks
    bell: RingByNotify
    key_directory: SqlKeyDirectory
    providers: Providers
    limiting: Limiting
    metrics: Metrics
    passwords: PasswordHasher


@asynccontextmanager
async def open_parts(settings: Settings, database: DatabaseConfig | None = None) -> AsyncIterator[Parts]:
    """The parts, with their connections closed in the end. `database` is how the settings reach it, unless it is given."""
    engine = open_engine(database or settings.database())
    metrics = Metrics()
    gateway = StripeGateway(settings.stripe(), observe=metrics.processor_called)
    parts = assemble(settings, engine, gateway, SystemClock(), TimeOrderedIds(), metrics=metrics)
    try:
        yield parts
    finally:
        await parts.bell.close()
        await parts.key_directory.close()
        await parts.providers.close()
        await parts.limiting.close()
        await gateway.close()
        await engine.dispose()


def assemble(
    settings: Settings,
    engine: AsyncEngine,
    gateway: Gateway,
    clock: Clock,
    ids: IdSource,
    *,
    metrics: Metrics | None = None,
    passwords: PasswordHasher | None = None,
) -> Parts:
    """The parts over an engine, a gateway, a clock and a source of ids of the caller's choice."""
    units = SqlUnitsOfWork(engine)
    outcomes = Outcomes(clock, ids, alerts=LoggedAlerts(), live=settings.live)
    runner = AttemptRunner(units, gateway, outcomes, clock)
    refresh = Refresh(units=units, gateway=gateway, runner=runner, outcomes=outcomes)
    return Parts(
        settings=settings,
        engine=engine,
        units=units,
        reader=SqlReader(engine),
        gateway=gateway,
        clock=clock,
        ids=ids,
        outcomes=outcomes,
        runner=runner,
        refresh=refresh,
        bell=RingByNotify(engine),
        key_directory=SqlKeyDirectory(engine),
        providers=providers_of(settings),
        limiting=limiting(settings),
        metrics=metrics or Metrics(),
        passwords=passwords or Argon2Passwords(),
        webhooks=ApplyWebhooks(units=units, refresh=refresh, own=gateway, clock=clock, live=settings.live),
    )


def services(parts: Parts, graphiql: GraphiqlConfig | None) -> Services:
    """What the API needs."""
    settings = parts.settings
    tokens = AccessTokens(settings.tokens(), parts.clock)
    secrets = [secret.get_secret_value() for secret in settings.stripe_webhook_secret]
    admit = admit_over(parts)
    return Services(
        acts=Acts(
            create_payment=CreatePayment(
                units=parts.units,
                gateway=parts.gateway,
                runner=parts.runner,
                clock=parts.clock,
                ids=parts.ids,
                default_return_url=settings.payment_return_url,
            ),
            refund_payment=RefundPayment(
                units=parts.units,
                runner=parts.runner,
                clock=parts.clock,
                ids=parts.ids,
                policy=settings.refund_policy(),
            ),
            authorized=AuthorizedPayments(units=parts.units, runner=parts.runner, clock=parts.clock, ids=parts.ids),
            decide_refund=DecideRefund(units=parts.units, runner=parts.runner, clock=parts.clock, ids=parts.ids),
            reapply_webhook=ReapplyWebhook(
                units=parts.units, webhooks=parts.webhooks, clock=parts.clock, ids=parts.ids
            ),
            resolve_attempt=ResolveAttempt(
                units=parts.units,
                gateway=parts.gateway,
                runner=parts.runner,
                outcomes=parts.outcomes,
                clock=parts.clock,
                ids=parts.ids,
            ),
            resolve_discrepancy=ResolveDiscrepancy(units=parts.units, clock=parts.clock, ids=parts.ids),
            people=people_acts(parts, tokens),
            administer_users=AdministerUsers(units=parts.units, clock=parts.clock, ids=parts.ids),
            create_api_key=create_api_key_over(parts),
            revoke_api_key=RevokeApiKey(units=parts.units, clock=parts.clock, ids=parts.ids),
        ),
        receive_webhook=ReceiveWebhook(
            units=parts.units, verifier=StripeWebhookVerifier(secrets), clock=parts.clock, bell=parts.bell
        ),
        readers=Readers(
            payments=parts.reader,
            identity=SqlIdentityReader(parts.engine),
            disputes=SqlDisputeReader(parts.engine),
            follow_ups=SqlFollowUpReader(parts.engine),
            ledger=SqlLedgerReader(parts.engine),
            inbox=SqlInboxReader(parts.engine, excerpt),
            discrepancies=SqlDiscrepancyReader(parts.engine),
            attempts=SqlAttemptReader(parts.engine),
            api_keys=SqlApiKeyReader(parts.engine),
        ),
        tokens=tokens,
        admission=Admission(SqlTrustedDocuments(parts.engine), only_trusted=settings.trusted_documents_only),
        authenticate_key=AuthenticateKey(parts.key_directory, live=settings.live),
        authenticate_vouched=vouched_over(parts, admit),
        sign_in_pages=sign_in_pages(parts, admit),
        readiness=lambda: readiness(parts.engine, settings.environment),
        administrators_need_second_factor=settings.admin_second_factor_required,
        clock=parts.clock,
        ids=parts.ids,
        observe_request=parts.metrics.request_answered,
        count_completion=parts.metrics.field_completed,
        graphiql=graphiql,
        throttle=parts.limiting.throttle,
        unfinished=Unfinished(),
        wire=settings.wire(),
    )


def create_api_key_over(parts: Parts) -> CreateApiKey:
    """The act that makes keys of this server's mode."""
    return CreateApiKey(units=parts.units, clock=parts.clock, ids=parts.ids, live=parts.settings.live)


@asynccontextmanager
async def open_worker(parts: Parts) -> AsyncIterator[Worker]:
    """A worker that is woken by the database."""
    settings = parts.settings
    records = StripeRecords(settings.stripe())
    try:
        async with ListenForWakeups(settings.database()) as wakeups:
            yield Worker(
                webhooks=parts.webhooks,
                recovery=Recovery(units=parts.units, runner=parts.runner),
                sweeper=Sweeper(parts.units, sweeps_over(parts, records)),
                mails=send_mails(parts),
                wakeups=wakeups,
                config=WorkerConfig(concurrency=settings.worker_concurrency),
            )
    finally:
        await records.close()


@asynccontextmanager
async def open_reconcile(parts: Parts) -> AsyncIterator[Reconcile]:
    """Reconciliation over the processor's lists."""
    records = StripeRecords(parts.settings.stripe())
    try:
        yield reconcile_over(parts, records)
    finally:
        await records.close()


def reconcile_over(parts: Parts, records: ProcessorRecords) -> Reconcile:
    own, alone = SqlOwnRecords(parts.engine), parts.settings.processor_account_is_ours_alone
    return Reconcile(
        units=parts.units,
        slices=Slices(records, own, account_is_ours_alone=alone),
        examination=Examination(parts.gateway, own, account_is_ours_alone=alone),
        cure=Cure(parts.refresh),
        clock=parts.clock,
        ids=parts.ids,
        pause=lambda time: asyncio.sleep(time.total_seconds()),
    )


def sweeps_over(parts: Parts, records: StripeRecords) -> list[Sweep]:
    """Everything that is done at intervals."""
    return [
        *recovery_sweeps(parts, records),
        *webhook_sweeps(parts, records),
        PruneIdentity(parts.units),
        *reconciliation_sweeps(parts, records),
    ]


def recovery_sweeps(parts: Parts, records: ProcessorRecords) -> list[Sweep]:
    """What is done at intervals about attempts, and about charges that none of them goes on with."""
    return [
        AlertSweep(parts.units),
        OrphanSweep(units=parts.units, gateway=parts.gateway, records=records, outcomes=parts.outcomes),
    ]


def reconciliation_sweeps(parts: Parts, records: ProcessorRecords) -> list[Sweep]:
    """What is done at intervals about the processor's books and ours."""
    reconcile = reconcile_over(parts, records)
    return [
        ReconcileRecent(reconcile=reconcile, units=parts.units, clock=parts.clock, alerts=LoggedAlerts()),
        ReconcileAll(reconcile),
    ]


def webhook_sweeps(parts: Parts, source: EventSource) -> list[Sweep]:
    """What is done at intervals about webhook events."""
    settings = parts.settings
    interval = timedelta(seconds=settings.webhook_sweep_seconds)
    kept = timedelta(days=settings.webhook_events_kept_days)
    return [
        SweepEvents(units=parts.units, source=source, clock=parts.clock, bell=parts.bell, interval=interval),
        PruneEvents(units=parts.units, kept=kept),
    ]


def open_metrics(parts: Parts) -> AbstractAsyncContextManager[None]:
    """The listener for metrics, where the settings ask for one."""
    settings = parts.settings
    reader = SqlOpenWorkReader(parts.engine)
    return serving_metrics(parts.metrics, reader, host=settings.metrics_host, port=settings.metrics_port)


async def readiness(engine: AsyncEngine, environment: Environment) -> dict[str, str]:
    """What keeps the service from doing its work, by part; empty when nothing does."""
    missing = {}
    try:
        revision = await current_revision(engine)
        # It was checked at the start, but can be changed while the service runs.
        complaint = await durability_complaint(engine) if environment is Environment.PRODUCTION else None
    except Unavailable as error:
        return {"database": error.message}
    head = head_revision()
    if revision != head:
        missing["migrations"] = f"The database is at {revision or 'no revision'}, not at {head}: run `florin migrate`."
    if complaint is not None:
        missing["durability"] = complaint
    return missing
