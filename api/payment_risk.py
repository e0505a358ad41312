"""What antifraud says of a payment that is to begin: observed, perhaps scored outside, evaluated.

`assess_payment` is for every route that begins a payment. What it finds is recorded under the
payment's id, so a request that is sent again gets the same.
"""

from __future__ import annotations

import hmac
import time
from ipaddress import ip_network

from fastapi import Request
from msgspec.structs import replace

from api.doors import client_network
from api.payment_device import known_device
from api.services import Services
from domain.payments.risk import Evaluation, External, RiskPolicy, evaluate
from domain.payments.risk_features import Asked, features, worth_cents
from integrations.risk_scorer import Question
from integrations.time_zones import countries_of
from messages.payments.payments import Assessment
from storage import payments_risk as storage
from storage import payments_risk_policies as policies
from storage.payments_risk import Assessed, Observation, Part, Recorded

DIGEST_BYTES = 16
# Names of kinds of card, the same for everybody, as Stripe's test mode has; of no card.
TEST_CARDS = "pm_card_"


async def assess_payment(services: Services, request: Request, asked: Asked) -> Assessment:
    """What the policy says, with all that it is made of recorded. The same again for the same id.

    Payments that the same payer, card, browser or network take part in are observed one after the
    other, so none slips past a limit beside another.
    """
    began = time.perf_counter()
    asked = await _know_card(services, asked)
    found = await _observe(services, asked, _parts(services, request, asked))
    assessment = found if isinstance(found, Assessment) else await _score(services, asked, found)
    services.risk_metrics.assessed(assessment.verdict, time.perf_counter() - began)
    return assessment


async def _know_card(services: Services, asked: Asked) -> Asked:
    """With what the provider knows of the card that its script named."""
    if asked.card.startswith(TEST_CARDS):
        return replace(asked, card="")
    if not asked.card or services.instruments is None:
        return asked
    known = await services.instruments.read(asked.card)
    if known is None:
        return asked
    return replace(asked, card=known.fingerprint, card_country=known.country)


async def _observe(services: Services, asked: Asked, parts: list[Part]) -> Assessment | Recorded:
    """The observation of a payment, or what came of it, where no scorer has to be asked."""
    now_ms = services.clock()
    async with services.pool.acquire() as connection, connection.transaction():
        await storage.lock(connection, parts)
        history, policy = await storage.gather(connection, asked.payer_id, parts, now_ms)
        policy = policy or await policies.active(connection, now_ms)
        zone = history.account.time_zone if history.account else ""
        known = features(asked, history, now_ms, countries_of(zone))
        made = Observation(asked.payment_id, asked.payer_id, policy.version, known, now_ms)
        found = evaluate(known, policy) if services.scorer is None else None
        worth = worth_cents(asked.amount_minor, asked.currency)
        if await storage.observe(connection, made, parts, worth, found):
            return found.assessment() if found else Recorded(made, policy)
        before = await storage.find(connection, asked.payment_id)
    assert before is not None, "it was observed before"
    return _of(before.assessed) if before.assessed else before


async def _score(services: Services, asked: Asked, found: Recorded) -> Assessment:
    """Ask the scorer, outside of any transaction, and record what follows."""
    made = found.observation
    external = await _ask(services, asked, made) if services.scorer else None
    evaluation = evaluate(made.features, found.policy, external)
    at_ms = services.clock()
    await storage.assess(services.pool, made.payment_id, evaluation, external, at_ms)
    recorded = await storage.find(services.pool, made.payment_id)
    assert recorded is not None, "it was observed"
    assert recorded.assessed is not None, "and assessed, by whoever was first"
    return _of(recorded.assessed)


def _of(assessed: Assessed) -> Assessment:
    codes = tuple(reason.code for reason in assessed.reasons)
    return Assessment(assessed.verdict, assessed.score, codes, assessed.policy_version)


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


def replay(recorded: Recorded, policy: RiskPolicy) -> Evaluation:
    """What the recorded features, and the scorer's word of then, come to under a policy."""
    return evaluate(recorded.observation.features, policy, recorded.external)


def _parts(services: Services, request: Request, asked: Asked) -> list[Part]:
    """Who and what takes part, as digests. What is not known is not there."""
    found = {"user": asked.payer_id.encode()}
    if asked.card:
        found["card"] = asked.card.encode()
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
