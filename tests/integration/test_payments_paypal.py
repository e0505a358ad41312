"""PayPal through our doors: our owners, ledger and bus, and PayPal's stand-in over HTTP."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import redis.asyncio as redis_asyncio

from actors.payment_reconciler import Books, Reconciler
from domain.payments.policy import DAY_MS, PaymentPolicy
from domain.payments.reconciling import wanted
from integrations.paypal_client import PayPalClient
from integrations.provider_records_paypal import PayPalRecords
from messages.payments.gateways import GatewayName
from storage import payments_reconciliations as reconciliations
from storage.database import Pool
from tests.api_services import assert_problem
from tests.contracts.payment_rigs import PayPalRig, open_rig
from tests.integration.payments_support import QUICKLY, World, clock, open_world
from tests.integration.rewards_support import until


@dataclass
class Shop:
    """Our side, PayPal's side, and the webhooks between them, delivered by hand."""

    world: World
    rig: PayPalRig
    sent: list[bytes] = field(default_factory=list)

    async def begin(self, amount: int = 10_000, **more: Any) -> dict[str, Any]:
        body = {"method": "paypal", "return_url": "http://shop.test/back", **more}
        answer = await self.world.pay(amount, **body)
        assert answer.status_code == 201, answer.text
        begun: dict[str, Any] = answer.json()
        return begun

    def order(self) -> dict[str, Any]:
        (order,) = self.rig.simulator.orders.orders.values()
        found: dict[str, Any] = order
        return found

    async def approve(self, payment: dict[str, Any], **form: str) -> str:
        """The payer goes where we send them, and says yes; where they come back to."""
        path = payment["action"]["url"].removeprefix(self.rig.url)
        answer = await self.rig.post(path, outcome="approve", **form)
        return str(answer.headers.get("location", ""))

    async def happen(self, what: str) -> None:
        answer = await self.rig.post(f"/_simulator/{self.order()['id']}/{what}")
        assert answer.status_code == 200, answer.text

    async def deliver(self, *, times: int = 1) -> None:
        """All webhooks so far, the latest first."""
        sent, self.sent[:] = list(reversed(self.sent)), []
        for body in sent * times:
            answer = await self.world.api.client.post(
                "/api/v1/webhooks/paypal", content=body, headers=dict(self.rig.sign(body))
            )
            assert answer.status_code == 200, answer.text

    async def shown(self, payment: dict[str, Any]) -> dict[str, Any]:
        found: dict[str, Any] = (await self.world.get(f"payments/{payment['payment_id']}")).json()
        return found

    async def until(self, payment: dict[str, Any], **expected: Any) -> None:
        async def is_so() -> bool:
            shown = await self.shown(payment)
            return all(shown[name] == value for name, value in expected.items())

        await until(is_so)


@pytest.fixture
def policy() -> PaymentPolicy:
    return QUICKLY


@pytest.fixture
async def shop(
    pool: Pool,
    tmp_path: Path,
    database_url: str,
    redis_server: str,
    redis_client: redis_asyncio.Redis,
    policy: PaymentPolicy,
) -> AsyncIterator[Shop]:
    async with (
        open_rig("paypal") as rig,
        open_world(
            pool,
            tmp_path,
            database_url,
            redis_server,
            {GatewayName.PAYPAL: rig.gateway},
            policy,
        ) as world,
    ):
        opened = Shop(world, rig)
        opened.sent = rig.listen()
        yield opened
        await world.verify()


async def test_a_payer_approves_and_comes_back(shop: Shop) -> None:
    payment = await shop.begin()
    assert payment["status"] == "requires_action"
    back = await shop.approve(payment)
    assert back.startswith(f"http://shop.test/back?token={shop.order()['id']}&PayerID=")
    assert await shop.world.wallet() == 0
    confirmed = await shop.world.post(f"payments/{payment['payment_id']}/confirmation")
    assert (confirmed.json()["status"], confirmed.json()["received_minor"]) == ("completed", 10_000)
    assert await shop.world.wallet() == 10_000
    unit = shop.order()["purchase_units"][0]
    assert (unit["custom_id"], unit["amount"]["value"]) == (payment["payment_id"], "100.00")
    await shop.deliver(times=2)
    assert await shop.world.wallet() == 10_000
    assert len(unit["payments"]["captures"]) == 1


@pytest.mark.parametrize("policy", [PaymentPolicy(answer_ms=3_600_000)])
async def test_a_payer_approves_and_never_comes_back(shop: Shop) -> None:
    """Whoever hears of it has it taken, and does not wait for a timer."""
    payment = await shop.begin()
    await shop.approve(payment)
    await shop.deliver()
    await shop.until(payment, status="completed", received_minor=10_000)
    assert await shop.world.wallet() == 10_000


async def test_answers_that_get_lost_on_the_way(shop: Shop) -> None:
    shop.rig.faults({"on": "create", "do": "lose-answer"})
    payment = await shop.begin()
    assert payment["status"] == "processing"
    await shop.until(payment, status="requires_action")
    shop.rig.faults({"on": "capture", "do": "lose-answer"}, {"on": "fetch", "do": "500"})
    await shop.approve(await shop.shown(payment))
    await shop.world.post(f"payments/{payment['payment_id']}/confirmation")
    await shop.until(payment, status="completed")
    assert await shop.world.wallet() == 10_000
    assert len(shop.order()["purchase_units"][0]["payments"]["captures"]) == 1


async def test_a_payer_whose_card_is_declined(shop: Shop) -> None:
    payment = await shop.begin()
    await shop.approve(payment, funding="declined")
    await shop.deliver()
    await shop.until(payment, status="failed", failure="INSTRUMENT_DECLINED")
    assert await shop.world.wallet() == 0


async def test_held_first_and_taken_in_part_later(shop: Shop) -> None:
    payment = await shop.begin(capture="manual")
    await shop.approve(payment)
    path = f"payments/{payment['payment_id']}"
    held = await shop.world.post(f"{path}/confirmation")
    assert (held.json()["status"], held.json()["received_minor"]) == ("processing", 0)
    taken = await shop.world.post(f"{path}/captures", {"amount_minor": 6_000})
    assert (taken.json()["status"], taken.json()["received_minor"]) == ("completed", 6_000)
    assert await shop.world.wallet() == 6_000


async def test_what_is_held_is_let_go(shop: Shop) -> None:
    payment = await shop.begin(capture="manual")
    await shop.approve(payment)
    path = f"payments/{payment['payment_id']}"
    await shop.world.post(f"{path}/confirmation")
    ended = await shop.world.post(f"{path}/cancellation")
    assert ended.json()["status"] == "cancelled"
    (held,) = shop.order()["purchase_units"][0]["payments"]["authorizations"]
    assert held["status"] == "VOIDED"


async def test_what_is_approved_after_it_was_cancelled_is_not_taken(shop: Shop) -> None:
    payment = await shop.begin()
    ended = await shop.world.post(f"payments/{payment['payment_id']}/cancellation")
    assert ended.json()["status"] == "cancelled"
    await shop.approve(payment)
    await shop.deliver()

    async def looked_at() -> bool:
        state = await shop.world.api.pool.fetchval("select state from payments.webhooks")
        return bool(state == "handled")

    await until(looked_at)
    assert (await shop.shown(payment))["status"] == "cancelled"
    assert shop.order()["status"] == "APPROVED"


async def test_refunds_ours_and_theirs(shop: Shop) -> None:
    payment = await shop.begin()
    await shop.approve(payment)
    path = f"payments/{payment['payment_id']}"
    await shop.world.post(f"{path}/confirmation")
    refunds = [
        await shop.world.post(f"{path}/refunds", {"amount_minor": 4_000}, key="refund-1")
        for _ in range(2)
    ]
    assert [one.json()["returned_minor"] for one in refunds] == [4_000, 4_000]
    assert await shop.world.wallet() == 6_000
    too_much = await shop.world.post(f"{path}/refunds", {"amount_minor": 6_001})
    assert_problem(too_much, 409, "refund-too-large")
    await shop.happen("refund")
    await shop.deliver(times=2)
    await shop.until(payment, status="refunded", returned_minor=10_000, owed_minor=0)
    assert await shop.world.wallet() == 0


async def test_a_refund_that_names_nothing_of_ours_is_found_by_its_capture(shop: Shop) -> None:
    payment = await shop.begin()
    await shop.approve(payment)
    await shop.world.post(f"payments/{payment['payment_id']}/confirmation")
    (taken,) = shop.order()["purchase_units"][0]["payments"]["captures"]
    shop.sent.clear()
    shop.rig.simulator.orders.refund(taken["id"], {"custom_id": "", "invoice_id": ""})
    await shop.deliver()
    await shop.until(payment, status="refunded")


async def test_a_dispute_is_owed_and_given_back_when_it_is_won(shop: Shop) -> None:
    payment = await shop.begin()
    await shop.approve(payment)
    await shop.world.post(f"payments/{payment['payment_id']}/confirmation")
    await shop.happen("dispute")
    await shop.deliver()
    await shop.until(payment, status="disputed", owed_minor=0, returned_minor=10_000)
    assert await shop.world.wallet() == 0
    await shop.happen("win")
    await shop.deliver()
    await shop.until(payment, status="completed", returned_minor=0)
    assert await shop.world.wallet() == 10_000


async def test_the_books_say_the_same(shop: Shop) -> None:
    payment = await shop.begin()
    await shop.approve(payment)
    path = f"payments/{payment['payment_id']}"
    await shop.world.post(f"{path}/confirmation")
    await shop.world.post(f"{path}/refunds", {"amount_minor": 4_000})
    await shop.happen("dispute")
    await shop.deliver()
    await shop.until(payment, status="disputed")
    records = PayPalRecords(PayPalClient(shop.rig.account(shop.rig.url)))
    books = {GatewayName.PAYPAL: Books(records, shop.rig.gateway)}
    services = shop.world.api.services
    reconciler = Reconciler(services.pool, services.owner("payments"), books, later)
    since = clock() - clock() % DAY_MS
    run = wanted(GatewayName.PAYPAL, since, since + 2 * DAY_MS, "ana", clock(), "")
    await reconciliations.ask(services.pool, run)
    while await reconciler.step():
        pass
    report = await reconciliations.report(services.pool, run.run_id)
    assert report is not None
    assert (report.counts, report.entries, report.charges) == ({}, 3, 1)
    assert report.totals == {"USD": [0, 0]}
    await records.close()


def later() -> int:
    """When all of today is over, and no longer young."""
    return clock() + 2 * DAY_MS


async def test_a_signature_that_is_not_paypals(shop: Shop) -> None:
    await shop.approve(await shop.begin())
    (body,) = shop.sent
    headers = dict(shop.rig.sign(body, wrong=True))
    answer = await shop.world.api.client.post(
        "/api/v1/webhooks/paypal", content=body, headers=headers
    )
    assert_problem(answer, 401, "webhook-signature-wrong")
    assert await shop.world.api.pool.fetchval("select count(*) from payments.webhooks") == 0
