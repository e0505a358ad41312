"""What antifraud says of a payment that is to begin: observed, perhaps scored outside, evaluated.

`assess_payment` is for every route that begins a payment. What it finds is recorded under the
payment's id, so a request that is sent again gets the same.
"""

from __future__ import annotations

import hmac
import time
from ipaddress import ip_network

from fastapi import Request

from api.doors import client_network
from api.payment_device import known_device
from api.services import Services
from domain.payments.risk import Evaluation, External, RiskPolicy, evaluate
from domain.payments.risk_features import Asked, features, worth_cents
from domain.payments.risk_policy import read
from integrations.risk_scorer import Question
from integrations.time_zones import countries_of
from messages.payments.payments import Assessment
from storage import payments_risk as storage
from storage import payments_risk_policies as policies
from storage.payments_risk import Observation, Part, Recorded

DIGEST_BYTES = 16
# Names of kinds of card, the same for everybody, as Stripe's test mode has; of no card.
TEST_CARDS = "pm_card_"


async def assess_payment(services: Services, request: Request, asked: Asked) -> Assessment:
    """What the policy says, with all that it is made of recorded. The same again for the same id.

    Payments that the same payer, card, browser or network take part in are observed one after the
    other, so none slips past a limit beside another.
    """
    began = time.perf_counter()
    found = await _observe(services, asked, _parts(services, request, asked))
    if found.evaluation is None:
        found = await _score(services, asked, found)
    assert found.evaluation is not None, "it was evaluated"
    services.risk_metrics.assessed(found.evaluation.verdict, time.perf_counter() - began)
    return found.evaluation.assessment()


async def _observe(services: Services, asked: Asked, parts: list[Part]) -> Recorded:
    """The observation of a payment; with its evaluation, where no scorer has to be asked."""
    now_ms = services.clock()
    async with services.pool.acquire() as connection, connection.transaction():
        await storage.lock(connection, parts)
        found = await storage.find(connection, asked.payment_id)
        if found is not None:
            return found
        policy = await policies.active(connection, now_ms)
        history = await storage.gather(connection, asked.payer_id, parts, now_ms)
        zone = history.account.time_zone if history.account else ""
        known = features(asked, history, now_ms, countries_of(zone))
        made = Observation(asked.payment_id, asked.payer_id, policy.version, known, now_ms)
        worth = worth_cents(asked.amount_minor, asked.currency)
        await storage.observe(connection, made, parts, worth)
        if services.scorer is not None:
            return Recorded(made, "")
        evaluation = evaluate(known, policy)
        await storage.assess(connection, asked.payment_id, evaluation, None, now_ms)
    return Recorded(made, "", evaluation)


async def _score(services: Services, asked: Asked, found: Recorded) -> Recorded:
    """Ask the scorer, outside of any transaction, and record what follows."""
    made = found.observation
    external = await _ask(services, asked, made) if services.scorer else None
    async with services.pool.acquire() as connection, connection.transaction():
        row = await policies.get(connection, made.policy_version)
        assert row is not None, "the observation refers to it"
        evaluation = evaluate(made.features, row.policy, external)
        await storage.assess(connection, made.payment_id, evaluation, external, services.clock())
        recorded = await storage.find(connection, made.payment_id)
    assert recorded is not None, "it was observed"
    return recorded


async def _ask(services: Services, asked: Asked, made: Observation) -> External:
    assert services.scorer is not None, "asked before"
    question = Question(
        payment_id=asked.payment_id,
        payer=_digest(services, "scorer", asked.payer_id.encode()).hex(),
        amount_minor=asked.amount_minor,
        currency=asked.currency,
        method=asked.method,
        features=made.features,
        policy_version=made.policy_version,
        at_ms=made.at_ms,
    )
    external = await services.scorer.ask(question)
    services.risk_metrics.scored(external)
    return external


def replay(recorded: Recorded, policy: RiskPolicy | None = None) -> Evaluation:
    """What the recorded features come to: under the policy of then, or another one."""
    then = policy or read(recorded.policy)
    return evaluate(recorded.observation.features, then, recorded.external)


def _parts(services: Services, request: Request, asked: Asked) -> list[Part]:
    """Who and what takes part, as digests. What is not known is not there."""
    found = {"user": asked.payer_id.encode()}
    if asked.source and not asked.source.startswith(TEST_CARDS):
        found["card"] = asked.source.encode()
    device = known_device(request, services.settings.fingerprint_secret)
    if device is not None:
        found["device"] = device
    network = client_network(request)
    if ip_network(network).is_global:  # any other is a part of many networks
        found["network"] = network.encode()
    return [Part(kind, _digest(services, kind, content)) for kind, content in found.items()]


def _digest(services: Services, kind: str, content: bytes) -> bytes:
    key = services.settings.fingerprint_secret
    return hmac.digest(key, b"payment-risk\0" + kind.encode() + b"\0" + content, "sha256")[
        :DIGEST_BYTES
    ]
