"""Value moves with the facts that cause it, or neither happens."""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from dataclasses import replace
from typing import Any

import pytest

from storage import ledger
from storage.database import Connection
from tests.integration.runtime_kinds import Balance, Fund, Funded, Paid, Pay, Tills, purse
from tests.integration.runtime_support import CALM, TILLS, World, answers, codes, sent, till_of


async def test_money_journal_outbox_and_table_move_together(world: World) -> None:
    host = await world.start()
    found = await answers(
        host, "till", sent(Fund("f1", 100)), sent(Pay("p1", "b", 30, checked=False))
    )
    assert codes(found) == ["", ""]
    assert await world.journal("a") == [Funded("f1", 100), Paid("p1", "b", 30)]
    assert await world.balance(purse("a")) == 70
    assert await world.balance(purse("b")) == 30
    assert await world.pool.fetchval("select amount from public.payments") == 30
    assert await world.pool.fetchval("select channels from bus.outbox") == ["till:a"]


@pytest.mark.parametrize("checked", [True, False])
async def test_what_cannot_be_paid_is_refused_alone(world: World, checked: bool) -> None:
    """With `reserve` it is not even decided; without, the ledger finds out at the end."""
    host = await world.start()
    await answers(host, "till", sent(Fund("f1", 100)))
    found = await answers(
        host,
        "till",
        sent(Pay("p1", "b", 60, checked)),
        sent(Pay("p2", "b", 60, checked)),
        sent(Pay("p3", "b", 40, checked)),
        sent(Fund("f2", 1), "c"),
        sent(Balance()),
    )
    assert codes(found) == ["", "insufficient-funds", "", "", ""]
    assert till_of(found[4]).paid == 100
    assert await world.journal("a") == [Funded("f1", 100), Paid("p1", "b", 60), Paid("p3", "b", 40)]
    assert await world.balance(purse("a")) == 0
    assert await world.balance(purse("c")) == 1
    assert await world.count("public.payments") == 2


async def test_decisions_that_are_not_covered_fall_one_after_the_other(world: World) -> None:
    host = await world.start()
    await answers(host, "till", sent(Fund("f1", 10)), sent(Fund("f2", 10), "b"))
    found = await answers(
        host,
        "till",
        *(sent(Pay(f"a{n}", "c", amount, False)) for n, amount in enumerate((6, 6, 6, 4))),
        *(sent(Pay(f"b{n}", "c", amount, False), "b") for n, amount in enumerate((11, 10, 1))),
    )
    refused = "insufficient-funds"
    assert codes(found) == ["", refused, refused, "", refused, "", refused]
    assert await world.balance(purse("c")) == 20


async def test_a_reserve_that_was_refused_may_succeed_later(world: World) -> None:
    """Nothing of it is left behind: neither its ledger key nor the command's is used up."""
    host = await world.start()
    pay = sent(Pay("p1", "b", 5))
    assert codes(await answers(host, "till", pay)) == ["insufficient-funds"]
    await answers(host, "till", sent(Fund("f1", 5)))
    assert codes(await answers(host, "till", pay, pay)) == ["", ""]
    assert await world.balance(purse("b")) == 5


async def test_a_reserve_cannot_be_paid_by_the_batch_it_is_in(world: World) -> None:
    """Reserves come first: what else the batch does depends on them, not they on it."""
    host = await world.start()
    found = await answers(host, "till", sent(Fund("f1", 100)), sent(Pay("p1", "b", 10)))
    assert codes(found) == ["", "insufficient-funds"]


async def test_a_refused_command_reserves_nothing(world: World) -> None:
    host = await world.start()
    await answers(host, "till", sent(Fund("f1", 100)))
    await answers(host, "till", sent(Pay("p1", "b", 10)))
    found = await answers(host, "till", sent(Pay("p1", "b", 10)), sent(Pay("p2", "b", 0)))
    assert codes(found) == ["conflict", "invalid"]
    assert await world.balance(purse("a")) == 90


async def test_money_that_goes_between_looking_and_posting(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Balances are read without a lock; the ledger, which has one, has the last word."""
    host = await world.start()
    await answers(host, "till", sent(Fund("f1", 10)), sent(Fund("f2", 7), "b"))
    real, lies = ledger.balances, [True]

    async def hopeful(connection: Connection, wanted: Collection[str]) -> dict[str, int]:
        if lies and lies.pop():
            return dict.fromkeys(wanted, 1_000)
        return await real(connection, wanted)

    monkeypatch.setattr(ledger, "balances", hopeful)
    found = await answers(
        host,
        "till",
        sent(Pay("p1", "c", 8)),
        sent(Pay("p2", "c", 8)),
        sent(Pay("p3", "c", 7), "b"),
        sent(Balance()),
    )
    assert codes(found) == ["", "insufficient-funds", "", ""]
    assert till_of(found[3]).paid == 8
    assert await world.balance(purse("c")) == 15


async def test_a_transaction_the_ledger_cannot_take_fails_alone(world: World) -> None:
    host = await world.start()
    endless = sent(Fund("f-endless", 10**30 + 1))
    found = await answers(host, "till", sent(Fund("f1", 1)), endless, sent(Fund("f2", 2)))
    assert codes(found) == ["", "ledger-amount", ""]
    assert await world.journal("a") == [Funded("f1", 1), Funded("f2", 2)]


async def test_more_transactions_than_a_batch_may_have(world: World) -> None:
    host = await world.start(limits=replace(CALM, batch_transactions=3))
    found = await answers(host, "till", *(sent(Fund(f"f{n}", 1)) for n in range(10)))
    assert codes(found) == [""] * 10
    assert await world.balance(purse("a")) == 10


async def test_hosts_that_pay_each_other_crosswise_do_not_stand_still(world: World) -> None:
    """Each batch locks its accounts once, in one order: no deadlock, whatever moves where."""
    names = [f"t{n}" for n in range(8)]
    await world.place(TILLS, "h1", *range(4))
    hosts = [await world.start("h0"), await world.start("h1")]
    for host in hosts:
        await answers(host, "till", *(sent(Fund(f"f-{name}", 1_000), name) for name in names))

    async def churn(number: int, host: Any) -> None:
        for turn in range(10):
            pays = [
                sent(Pay(f"{number}-{turn}-{n}-{m}", names[m], 1), names[n])
                for n in range(8)
                for m in range(8)
                if n != m
            ]
            found = set(codes(await answers(host, "till", *pays)))
            assert found <= {"", "not-owner"}

    await asyncio.gather(*(churn(number, host) for number, host in enumerate(hosts)))
    assert sum([await world.balance(purse(name)) for name in names]) == 8_000
    for host in hosts:
        assert "DeadlockDetected" not in (await host.scrape()).decode()


class NetTills(Tills):
    """Tills whose payments of a batch are posted as their sums."""

    netted = frozenset({"test"})


async def test_netted_transfers_are_one_transaction_a_batch(world: World) -> None:
    host = await world.start(kinds=(NetTills(),))
    await answers(host, "till", sent(Fund("f1", 100)), sent(Fund("f2", 10), "b"))
    before = await world.count("ledger.transactions")
    there = [sent(Pay(f"p{n}", "b", 9)) for n in range(5)]
    back = [sent(Pay(f"q{n}", "a", 1), "b") for n in range(4)]
    again = [there[0], sent(Pay("p0", "b", 9))]
    found = await answers(host, "till", *there, *back, *again)
    assert codes(found) == [*[""] * 10, "conflict"]
    assert await world.count("ledger.transactions") == before + 1
    assert (await world.balance(purse("a")), await world.balance(purse("b"))) == (59, 51)
    assert len(await world.journal("a")) == 6


async def test_what_a_sum_does_not_cover_is_refused_alone(world: World) -> None:
    """Nobody can say whose part of a sum was too much: they are posted one by one then."""
    host = await world.start(kinds=(NetTills(),))
    await answers(host, "till", sent(Fund("f1", 10)))
    paying = [sent(Pay(f"p{n}", "b", amount, checked=False)) for n, amount in enumerate((6, 6, 4))]
    assert codes(await answers(host, "till", *paying)) == ["", "insufficient-funds", ""]
    assert (await world.balance(purse("a")), await world.balance(purse("b"))) == (0, 10)
