"""The operator's command, in a process of its own, as an operator runs it."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from deployments.runner import RUN_FILE, locked
from domain.market.entries import entry
from messages.market.orders import BookAdvanced
from storage.dead_letters import park
from tests.integration.bus_support import make_event
from tests.running_system import IN_ORDER
from tests.unit.market_desk import ARTIST, FAN, Desk, active

ROOT = Path(__file__).resolve().parents[2]


def _vibestream(
    *arguments: str, folder: Path, url: str = "", **variables: str
) -> subprocess.CompletedProcess[str]:
    ours = {"VIBESTREAM_DATA_DIR": str(folder), "VIBESTREAM_POSTGRES_URL": url, **variables}
    return subprocess.run(
        [sys.executable, "-m", "deployments.cli", *arguments],
        cwd=ROOT,
        env={**os.environ, **ours},
        capture_output=True,
        text=True,
        check=False,
    )


def _one_line(text: str) -> bool:
    return text.startswith("error: ") and text.count("\n") == 1


async def _execute(url: str, statement: str) -> None:
    connection = await asyncpg.connect(url)
    await connection.execute(statement)
    await connection.close()


async def _park(url: str, count: int) -> list[int]:
    connection = await asyncpg.connect(url)
    for number in range(1, count + 1):
        event = make_event(sequence=number, position=f"{number}-{number}")
        await park(connection, "effects", event, "ValueError: a bad day", 3, 1_000)
    ids = await connection.fetch("select id from bus.dead_letters order by id")
    await connection.close()
    return [row["id"] for row in ids]


def test_dead_letters_are_listed_shown_and_replayed_once(database_url: str, tmp_path: Path) -> None:
    first, second = asyncio.run(_park(database_url, 2))
    listed = _vibestream("events", "dead", "list", folder=tmp_path, url=database_url)
    assert listed.returncode == 0, listed.stderr
    assert listed.stdout.count("ValueError: a bad day") == 2
    shown = _vibestream("events", "dead", "show", str(first), folder=tmp_path, url=database_url)
    letter = json.loads(shown.stdout)
    assert (letter["id"], letter["group"], letter["event"]["position"]) == (first, "effects", "1-1")
    both = ("events", "dead", "replay", str(first), str(second))
    assert _vibestream(*both, folder=tmp_path, url=database_url).stdout.startswith("2 of 2 ")
    again = _vibestream(*both, folder=tmp_path, url=database_url)
    assert (again.returncode, again.stdout[:6]) == (1, "0 of 2")


def test_a_letter_that_is_not_there(database_url: str, tmp_path: Path) -> None:
    shown = _vibestream("events", "dead", "show", "77", folder=tmp_path, url=database_url)
    assert (shown.returncode, _one_line(shown.stderr)) == (1, True)


def test_a_running_systems_servers_are_found(database_url: str, tmp_path: Path) -> None:
    with locked(tmp_path):
        early = _vibestream("verify", folder=tmp_path)
        assert (early.returncode, _one_line(early.stderr)) == (1, True)
        nowhere = "http://127.0.0.1:1"
        places = {"postgres_url": database_url, "address": nowhere, "letters_url": nowhere}
        (tmp_path / RUN_FILE).write_text(json.dumps(places), "utf-8")
        found = _vibestream("verify", folder=tmp_path)
    assert (found.returncode, found.stdout) == (0, IN_ORDER)


def test_without_a_running_system_the_data_folder_is_enough(tmp_path: Path) -> None:
    nothing = _vibestream("verify", folder=tmp_path / "new")
    assert (nothing.returncode, _one_line(nothing.stderr)) == (1, True)
    (tmp_path / "postgres").mkdir()
    made = _vibestream("migrate", folder=tmp_path)
    assert made.returncode == 0, made.stderr
    assert "applied" in made.stdout
    assert _vibestream("migrate", folder=tmp_path).stdout == "migrations up to date\n"
    assert _vibestream("verify", folder=tmp_path).stdout == IN_ORDER


@pytest.mark.parametrize(
    ("variables", "said"),
    [
        ({"VIBESTREAM_POSTGRES_URL": "postgresql://a:s3cr3t@127.0.0.1:1/x"}, "cannot be reached"),
        ({"VIBESTREAM_ENVIRONMENT": "production"}, "VIBESTREAM_POSTGRES_URL"),
        ({"VIBESTREAM_HTTP_PORT": "s3cr3t"}, "VIBESTREAM_HTTP_PORT"),
    ],
)
def test_what_an_operator_can_mend_is_one_line_without_secrets(
    variables: dict[str, str], said: str, tmp_path: Path
) -> None:
    failed = _vibestream("verify", folder=tmp_path, **variables)
    assert (failed.returncode, _one_line(failed.stderr)) == (1, True), failed.stderr
    assert said in failed.stderr
    assert "s3cr3t" not in failed.stderr + failed.stdout


def test_a_difference_in_the_ledger_is_an_exit_status(database_url: str, tmp_path: Path) -> None:
    spoil = (
        "set session_replication_role = replica;"
        "insert into ledger.accounts (code, currency, may_be_negative, balance)"
        " values ('user:x:y/V', 'V', false, 5)"
    )
    asyncio.run(_execute(database_url, spoil))
    failed = _vibestream("verify", folder=tmp_path, url=database_url)
    assert failed.returncode == 1
    assert "user:x:y/V" in failed.stdout


def test_a_book_that_is_not_as_its_journal_makes_it_is_an_exit_status(
    database_url: str, tmp_path: Path
) -> None:
    fine = _vibestream("market", "verify", folder=tmp_path, url=database_url)
    assert (fine.returncode, fine.stdout) == (0, "Every order book is what its journal makes.\n")
    asyncio.run(_execute(database_url, SPOIL_BOOK))
    for command in (("market", "verify"), ("verify",)):
        failed = _vibestream(*command, folder=tmp_path, url=database_url)
        assert failed.returncode == 1
        assert "the journal ends with entry 0, the book with 7" in failed.stdout


def test_an_exported_journal_is_matched_again_without_a_server(tmp_path: Path) -> None:
    def text(e: BookAdvanced) -> str:
        return entry(e.number, e.at_ms, e.instructions, e.outputs).decode()

    desk = Desk(active(artist=5_000), {FAN: 1_000_000})
    desk.open()
    desk.sell(ARTIST, 10, 1_010)
    desk.buy(FAN, 4, 1_010)
    rows: list[dict[str, Any]] = [
        {"number": e.number, "text": text(e), "chain": e.chain.hex()}
        for e in desk.events
        if isinstance(e, BookAdvanced)
    ]
    pages = [
        {"max_price": 4_096, "capacity": 20_000, "entries": rows[at : at + 2]} for at in (0, 2)
    ]
    file = tmp_path / "journal.json"
    file.write_text("\n".join(map(json.dumps, pages)))

    def verified() -> subprocess.CompletedProcess[str]:
        return _vibestream("market", "verify", "--journal", str(file), folder=tmp_path / "none")

    made = verified()
    assert (made.returncode, made.stdout) == (0, f"4 entries, 1 trades, {rows[-1]['chain']}\n")
    rows[3]["text"] = rows[3]["text"].replace('"trade"', '"ack"')
    file.write_text("\n".join(map(json.dumps, pages)))
    assert (verified().returncode, "after entry 3" in verified().stdout) == (1, True)
    file.write_text("no journal")
    assert verified().returncode == 2
    assert _one_line(verified().stderr)


SPOIL_BOOK = """
insert into market.issues (issue_id, song_id, generation, artist_user_id, status, currency, shares,
    retained, price_minor, minimum, cap_bps, tick_minor, drafted_at_ms)
values (gen_random_uuid(), gen_random_uuid(), 1, gen_random_uuid(), 'draft', 'EUR', 100, 10, 100, 1,
    2000, 1, 1);
insert into market.books (issue_id, max_price, capacity, phase, number, chain, opened_at_ms)
select issue_id, 1024, 10, 'closed', 7, decode(repeat('11', 32), 'hex'), 1 from market.issues"""
ADD_USER = """
insert into users.users (user_id, username, username_key, email, email_key, password_hash, points,
    time_zone, locale, created_at_ms)
values (gen_random_uuid(), 'Mira', 'mira', 'm@example.org', 'm@example.org', 'x', 100, 'UTC', 'en',
    1)"""


def test_an_operator_gives_roles_and_points(database_url: str, tmp_path: Path) -> None:
    asyncio.run(_execute(database_url, ADD_USER))
    points = _vibestream("users", "points", "mira", "900", folder=tmp_path, url=database_url)
    assert points.stdout == "mira has 1000 points.\n"
    role = _vibestream("users", "role", "Mira", "admin", folder=tmp_path, url=database_url)
    assert role.stdout == "Mira is admin from the next sign-in on.\n"
    for words in (("points", "nobody", "1"), ("role", "nobody", "admin")):
        failed = _vibestream("users", *words, folder=tmp_path, url=database_url)
        assert (failed.returncode, failed.stderr) == (1, "error: there is no user nobody\n")


def test_the_story_needs_a_running_system(tmp_path: Path) -> None:
    failed = _vibestream("demo", folder=tmp_path)
    assert (failed.returncode, _one_line(failed.stderr)) == (1, True)
    assert "make run" in failed.stderr
