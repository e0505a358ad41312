"""The bus worker: relays of every stream, and the processes that consume them."""

from __future__ import annotations

from functools import partial

from prometheus_client import CollectorRegistry

from actors.exchange_rates import RateKeeper, record_worth
from actors.payment_calls import PaymentCallsHandler
from actors.payment_webhooks import PaymentWebhooksHandler
from actors.payout_calls import PayoutCallsHandler
from actors.purchases_worker import PurchasesHandler
from actors.reward_saga import RewardListenHandler
from actors.runtime.metrics import HandleMetrics
from actors.runtime.transport import Transport
from actors.saved_methods import SavedMethodsKeeper
from actors.user_activity import UserActivityHandler
from bus.jobs import Job
from bus.stream_redis import RedisStream
from bus.worker import Worker
from deployments.composition.common import collect_seldom, now_ms, open_handles
from deployments.composition.mail import open_sender
from deployments.composition.payment_books import open_reconciler
from deployments.composition.payments import open_courier, open_recorder, open_saved_methods
from deployments.composition.payouts import open_payout_courier, payout_looks
from deployments.secrets import open_secrets
from deployments.settings import Settings
from deployments.topology import STREAMS
from integrations import opaque_tokens
from integrations.exchange_rates_ecb import EcbRates
from integrations.purchase_courier import PurchaseCourier
from storage import (
    conversions,
    payments_risk,
    users_accounts,
    users_erasure,
    users_registrations,
    users_resets,
)
from storage.audit_chain import seal_settled
from storage.bus import BusStore
from storage.database import Pool, open_pool
from storage.moderation_sanctions import lapse_due

SEAL_EVERY_S = 1.0
LAPSE_EVERY_S = 5.0
EXPIRED_EVERY_S = 60.0
SAVED_EVERY_S = 5.0
RATES_EVERY_S = 15.0  # to look whether it is time to ask
WORTH_EVERY_S = 5.0
RESETS_EVERY_S = 0.5
RECONCILED_EVERY_S = 5.0
SESSIONS_OVER_MS = 3_600_000  # no access token of theirs is alive then


async def open_bus_worker(name: str, settings: Settings, transport: Transport) -> Worker:
    """The worker of that name, started."""
    registry = CollectorRegistry()
    secrets = open_secrets(settings)
    url, present_url = settings.postgres_url, secrets.present("postgres_url")
    store = await BusStore.open(url, max_size=16, present_url=present_url)
    pool = await open_pool(url, max_size=4, application_name=name, present_url=present_url)
    handles = open_handles(settings, pool, transport, HandleMetrics(registry))
    payments = handles["payments"]
    recorder = open_recorder(settings, pool)
    courier = open_courier(settings, payments, recorder)
    payouts = handles["payouts"]
    payout_courier = open_payout_courier(settings, payouts, recorder, pool)
    looks = payout_looks(settings, payouts, payout_courier, recorder, pool)
    worker = Worker(
        name,
        store,
        RedisStream(*secrets.redis()),
        [
            RewardListenHandler(handles),
            UserActivityHandler(now_ms),
            PaymentCallsHandler(payments, courier),
            PaymentWebhooksHandler(payments, courier, now_ms, looks),
            PayoutCallsHandler(payouts, payout_courier, now_ms),
            PurchasesHandler(PurchaseCourier(handles, courier)),
        ],
        STREAMS,
        now_ms,
        registry=registry,
    )
    resets = partial(users_resets.answer_some, pool, opaque_tokens.generate, now_ms)
    reconciler = open_reconciler(
        settings, pool, payments, courier.gateways, recorder, worker.metrics.registry
    )
    worker.add_jobs(
        Job("audit-seal", SEAL_EVERY_S, partial(seal_settled, pool)),
        Job("suspensions-lapse", LAPSE_EVERY_S, lambda: lapse_due(pool, now_ms())),
        Job("password-resets", RESETS_EVERY_S, resets),
        Job("payments-worth", WORTH_EVERY_S, partial(record_worth, pool)),
        Job("conversion-quotes", EXPIRED_EVERY_S, lambda: conversions.purge(pool, now_ms())),
        Job("payment-sightings", EXPIRED_EVERY_S, lambda: payments_risk.purge(pool, now_ms())),
        Job("accounts-expired", EXPIRED_EVERY_S, partial(_forget_expired, pool)),
        Job("reconciliation", RECONCILED_EVERY_S, reconciler.step),
    )
    if provider := open_saved_methods(settings, recorder):
        cards = SavedMethodsKeeper(provider, pool, now_ms)
        worker.add_jobs(Job("saved-methods", SAVED_EVERY_S, cards.run))
    if settings.exchange_rates_url:
        keeper = RateKeeper(EcbRates(settings.exchange_rates_url), pool, now_ms)
        worker.add_jobs(Job("exchange-rates", RATES_EVERY_S, keeper.run))
    worker.also(recorder)
    if settings.smtp_url:  # without it letters wait in the queue
        worker.also(open_sender(settings, pool, store, registry, secrets))
    await worker.start()
    collect_seldom()
    return worker


async def _forget_expired(pool: Pool) -> int:
    at_ms = now_ms()
    over = await users_registrations.purge(pool, at_ms)
    over += await users_erasure.purge_sessions(pool, at_ms - SESSIONS_OVER_MS)
    return over + await users_accounts.purge(pool, at_ms)
