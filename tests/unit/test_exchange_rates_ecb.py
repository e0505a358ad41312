"""The European Central Bank's file: as it is, broken, and hostile."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator
from datetime import date
from typing import Any

import httpx
import pytest
import uvicorn
from hypothesis import given
from hypothesis import strategies as st

from integrations.exchange_rates_ecb import MAX_BYTES, EcbRates, RatesMalformedError, read_rates
from messages.errors import Unavailable
from messages.payments.exchange import Rate
from simulators.exchange_rates import PATH, RATES, RatesSimulator, document, working_day

# As the bank writes it.
REAL = b"""<?xml version="1.0" encoding="UTF-8"?>
<gesmes:Envelope xmlns:gesmes="http://www.gesmes.org/xml/2002-08-01" xmlns="http://www.ecb.int/vocabulary/2002-08-01/eurofxref">
	<gesmes:subject>Reference rates</gesmes:subject>
	<gesmes:Sender><gesmes:name>European Central Bank</gesmes:name></gesmes:Sender>
	<Cube>
		<Cube time='2026-11-27'>
			<Cube currency='USD' rate='1.0842'/>
			<Cube currency='JPY' rate='162.35'/>
			<Cube currency='IDR' rate='17171'/>
			<Cube currency='GBP' rate='0.85630'/>
		</Cube>
	</Cube>
</gesmes:Envelope>"""
LAUGHS = """<!DOCTYPE l [<!ENTITY a "lol"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;&a;&a;">
<!ENTITY c "&b;&b;&b;&b;&b;&b;&b;&b;&b;&b;"><!ENTITY d "&c;&c;&c;&c;&c;&c;&c;&c;&c;&c;">]>"""
FILE = '<!DOCTYPE x [<!ENTITY secret SYSTEM "file:///etc/passwd">]>'
REMOTE = '<!DOCTYPE x SYSTEM "http://127.0.0.1:9/evil.dtd">'


def test_the_banks_file() -> None:
    found = read_rates(REAL)
    assert (found.provider, found.base, found.published_on) == ("ecb", "EUR", date(2026, 11, 27))
    assert found.rates == {
        "USD": Rate(10842, 4), "JPY": Rate(16235, 2), "IDR": Rate(17171, 0), "GBP": Rate(85630, 5),
    }  # fmt: skip


def test_the_stand_in_writes_what_the_bank_writes() -> None:
    assert set(read_rates(document("2026-11-27", RATES).encode()).rates) == set(RATES)
    assert [working_day(date(2026, 11, day)).day for day in (26, 27, 28, 29, 30)] == [
        26, 27, 27, 27, 30,
    ]  # fmt: skip


def with_prolog(prolog: str, word: str = "") -> bytes:
    body = REAL.decode().split("\n", 1)[1].replace("Reference rates", word or "Reference rates")
    return ('<?xml version="1.0"?>' + prolog + body).encode()


@pytest.mark.parametrize(
    "hostile",
    [with_prolog(LAUGHS, "&d;"), with_prolog(FILE, "&secret;"), with_prolog(REMOTE),
     with_prolog("<!DOCTYPE x>")],
    ids=["laughs", "file", "remote", "bare"],
)  # fmt: skip
def test_a_document_type_is_refused_before_anything_of_it_happens(hostile: bytes) -> None:
    with pytest.raises(RatesMalformedError, match="document type"):
        read_rates(hostile)


def changed(old: str, new: str) -> bytes:
    assert old in REAL.decode()
    return REAL.decode().replace(old, new).encode()


@pytest.mark.parametrize(
    "broken",
    [
        b"", b"garbage", b"<a/>", REAL[:-20], REAL + b"<more/>", REAL + b" " * MAX_BYTES,
        changed("1.0842", "0.0000"), changed("1.0842", "-1"), changed("1.0842", "NaN"),
        changed("1.0842", "1e9"), changed("1.0842", "1,08"), changed("1.0842", ""),
        changed("1.0842", "1.0000000001"), changed("1.0842", "\u0661"),
        changed("'JPY'", "'USD'"), changed("'USD'", "'usd'"), changed("'USD'", "'USDC'"),
        changed("2026-11-27", "2026-13-27"), changed("2026-11-27", "20261127"),
        changed("time='2026-11-27'", ""), changed("eurofxref", "another"),
        changed('encoding="UTF-8"', 'encoding="no-such"'),
    ],
)  # fmt: skip
def test_what_is_no_such_document(broken: bytes) -> None:
    with pytest.raises(RatesMalformedError):
        read_rates(broken)


@given(st.binary(max_size=300), st.integers(0, len(REAL)))
def test_whatever_comes_is_rates_or_refused(noise: bytes, at: int) -> None:
    with contextlib.suppress(RatesMalformedError):
        assert read_rates(REAL[:at] + noise + REAL[at:]).rates


class Bank:
    def __init__(self, url: str, simulator: RatesSimulator) -> None:
        self.url, self.simulator = url, simulator
        self.source = EcbRates(url + PATH, call_s=1.0)

    async def plan(self, **plan: Any) -> None:
        async with httpx.AsyncClient(base_url=self.url) as client:
            await client.post("/_simulator/rates", json=plan)


@pytest.fixture
async def bank() -> AsyncIterator[Bank]:
    simulator = RatesSimulator()
    server = uvicorn.Server(uvicorn.Config(simulator.app(), log_level="critical", lifespan="off"))
    listening = socket.create_server(("127.0.0.1", 0))
    serving = asyncio.create_task(server.serve([listening]))
    made = Bank(f"http://127.0.0.1:{listening.getsockname()[1]}", simulator)
    yield made
    await made.source.close()
    server.should_exit = True
    await serving


async def test_rates_over_http(bank: Bank) -> None:
    assert (await bank.source.fetch()).rates["USD"] == Rate(10842, 4)
    await bank.plan(day="2026-11-26", rates={"USD": "2"})
    assert (await bank.source.fetch()).published_on == date(2026, 11, 26)
    for plan in ({"status": 503}, {"body": "garbage"}, {"body": "x" * (MAX_BYTES + 1)}):
        await bank.plan(**plan)
        with pytest.raises(Unavailable):
            await bank.source.fetch()


async def test_nobody_there_is_unavailable() -> None:
    source = EcbRates("http://127.0.0.1:9/none.xml", call_s=1.0)
    with pytest.raises(Unavailable):
        await source.fetch()
    await source.close()
