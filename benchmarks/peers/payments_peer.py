"""Payments as a workflow of DBOS: python payments_peer.py POSTGRES_URL CALLERS SECONDS.

A payment is a workflow of three durable steps, as a service has that is built on such an engine:
note it, have a provider take it (in memory, at once, by a key), and book it in two lines with
the payment's end in one transaction. Prints payments a second and latencies as JSON.
"""

from __future__ import annotations

import json
import sys
import threading
import time
import uuid
from collections.abc import Callable
from importlib import import_module
from typing import Any

dbos: Any = import_module("dbos")
sql: Any = import_module("sqlalchemy")

TABLES = """
create schema if not exists peer;
create table if not exists peer.payments (
    payment_id uuid primary key, payer text not null, amount bigint not null, status text not null,
    ref text not null default '');
create table if not exists peer.lines (
    payment_id uuid not null, account text not null, amount bigint not null,
    primary key (payment_id, account));
"""
ADD = "insert into peer.payments values (:id, :payer, :amount, 'pending') on conflict do nothing"
BOOK = """
insert into peer.lines values (:id, 'clearing', -:amount), (:id, :payer, :amount)
on conflict do nothing"""
END = "update peer.payments set status = 'completed', ref = :ref where payment_id = :id"
Pay = Callable[[str, str, int], str]


def workflow(url: str) -> Pay:
    """A whole payment, as DBOS has it: recorded before each step, and after."""
    source = dbos.SQLAlchemyDatasource.create(url)
    taken: dict[str, str] = {}

    def note(payment_id: str, payer: str, amount: int) -> None:
        values = {"id": payment_id, "payer": payer, "amount": amount}
        source.sql_session().execute(sql.text(ADD), values)

    def take(payment_id: str) -> str:
        return taken.setdefault(payment_id, f"ch_{len(taken)}")

    def settle(payment_id: str, payer: str, amount: int, ref: str) -> None:
        values = {"id": payment_id, "payer": payer, "amount": amount}
        source.sql_session().execute(sql.text(BOOK), values)
        source.sql_session().execute(sql.text(END), {"id": payment_id, "ref": ref})

    add: Any = source.transaction()(note)
    charge: Any = dbos.DBOS.step()(take)
    book: Any = source.transaction()(settle)

    def whole(payment_id: str, payer: str, amount: int) -> str:
        add(payment_id, payer, amount)
        ref: str = charge(payment_id)
        book(payment_id, payer, amount, ref)
        return ref

    pay: Pay = dbos.DBOS.workflow()(whole)
    return pay


def measure(pay: Pay, callers: int, seconds: float) -> dict[str, float]:
    """So many threads, each with the next payment as soon as one is done."""
    latencies_ms: list[float] = []
    end = time.perf_counter() + seconds

    def caller() -> None:
        while (began := time.perf_counter()) < end:
            payment_id = str(uuid.uuid4())
            with dbos.SetWorkflowID(payment_id):
                pay(payment_id, payment_id[:8], 1_234)
            latencies_ms.append((time.perf_counter() - began) * 1e3)

    threads = [threading.Thread(target=caller) for _ in range(callers)]
    began = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    ordered = sorted(latencies_ms)
    return {
        "payments/s": len(ordered) / (time.perf_counter() - began),
        "p50 ms": ordered[len(ordered) // 2],
        "p99 ms": ordered[len(ordered) * 99 // 100],
    }


def main() -> None:
    """Print the figures."""
    url, callers, seconds = sys.argv[1], int(sys.argv[2]), float(sys.argv[3])
    url = url.replace("postgresql://", "postgresql+psycopg://")
    config = {
        "name": "payments-peer",
        "system_database_url": url,
        "run_admin_server": False,
        "log_level": "ERROR",
    }
    with sql.create_engine(url).begin() as connection:
        connection.execute(sql.text(TABLES))
    dbos.DBOS(config=config)
    pay = workflow(url)
    dbos.DBOS.launch()
    measure(pay, callers, 1.0)
    print(json.dumps(measure(pay, callers, seconds)))
    dbos.DBOS.destroy()


if __name__ == "__main__":
    main()
