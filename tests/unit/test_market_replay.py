"""`vibestream market replay`: the file's format to the letter, and what is wrong with a bad one."""

from __future__ import annotations

import hashlib
import io
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from deployments.cli import app
from deployments.commands import replay_files
from kernels.matching import KINDS, OPS, REASONS, SIDES, STPS, TIFS
from tests.kernels.naive import market as naive
from tests.kernels.test_matching import stream

HEADER = "op,side,tif,stp,symbol,owner,price,quantity,order_id"
EVENTS = "kind,seq,symbol,side,reason,price,quantity,order_id,maker_order_id,owner,maker_owner"

COMMANDS = f"""{HEADER}
new,sell,gtc,none,0,1,100,5,1
new,sell,gtc,none,2,1,100,4,2
new,buy,market,none,0,2,0,7,3
new,buy,post,none,0,2,99,7,4
new,sell,fok,cancel_oldest,0,2,99,7,5
replace,buy,gtc,none,0,2,99,6,4
new,sell,ioc,decrement,0,2,98,2,6
new,sell,gtc,none,-1,3,99,1,7
new,buy,gtc,none,1,-8,4095,9223372036854775807,-9223372036854775808
cancel,buy,gtc,none,0,9,0,0,2
cancel,buy,gtc,none,0,1,0,0,2
cancel,buy,gtc,none,0,1,0,0,2
"""
SAID = f"""{EVENTS}
ack,0,0,sell,,100,5,1,0,1,0
ack,1,2,sell,,100,4,2,0,1,0
ack,2,0,buy,,4095,7,3,0,2,0
trade,2,0,buy,,100,5,3,1,2,1
cancelled,2,0,buy,ioc,4095,2,3,0,2,0
ack,3,0,buy,,99,7,4,0,2,0
rejected,4,0,sell,fok,0,0,5,0,2,0
replaced,5,0,buy,,99,6,4,0,2,0
ack,6,0,sell,,98,2,6,0,2,0
decremented,6,0,sell,stp,99,2,6,4,2,2
rejected,7,-1,sell,symbol,0,0,7,0,3,0
ack,8,1,buy,,4095,9223372036854775807,-9223372036854775808,0,-8,0
rejected,9,0,buy,owner,0,0,2,0,9,0
cancelled,10,2,sell,user,100,4,2,0,1,0
rejected,11,0,buy,unknown,0,0,2,0,1,0
"""
RESTING = "0,buy,99,4,4,2\n1,buy,4095,-9223372036854775808,9223372036854775807,-8"
SAID += f"state,{hashlib.sha256(RESTING.encode()).hexdigest()}\n"


def replayed(text: str | bytes, folder: Path, *more: str) -> Result:
    file = folder / "commands.csv"
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    return CliRunner().invoke(app, ["market", "replay", str(file), *more])


def test_events_and_state_to_the_letter(tmp_path: Path) -> None:
    result = replayed(COMMANDS, tmp_path)
    assert result.exit_code == 0
    assert result.stdout == SAID


@pytest.mark.parametrize(
    "text",
    [
        COMMANDS.rstrip("\n"),
        COMMANDS.replace("\n", "\r\n"),
        COMMANDS.replace("0,1,0,0,2", ",1,,,2"),
    ],
)
def test_ends_of_lines_and_fields_that_are_not_used(text: str, tmp_path: Path) -> None:
    assert replayed(text, tmp_path).stdout == SAID


def test_out_goes_to_a_file(tmp_path: Path) -> None:
    out = tmp_path / "events.csv"
    result = replayed(COMMANDS, tmp_path, "--out", str(out))
    assert (result.exit_code, result.stdout) == (0, "")
    assert out.read_text() == SAID


def test_no_commands_leave_an_empty_state(tmp_path: Path) -> None:
    empty = hashlib.sha256(b"").hexdigest()
    assert replayed(HEADER + "\n", tmp_path).stdout == f"{EVENTS}\nstate,{empty}\n"


GOOD = "new,sell,gtc,none,0,1,100,5,1"


@pytest.mark.parametrize(
    ("bad", "why"),
    [
        ("", "has not nine fields"),
        (GOOD + ",7", "has not nine fields"),
        ("new,sell,gtc,none,0,1,100,5", "has not nine fields"),
        ("news,sell,gtc,none,0,1,100,5,1", "names no op"),
        ("New,sell,gtc,none,0,1,100,5,1", "names no op"),
        (",sell,gtc,none,0,1,100,5,1", "names no op"),
        ("new,,gtc,none,0,1,100,5,1", "names no side"),
        ("new,sell,day,none,0,1,100,5,1", "names no tif"),
        ("new,sell,gtc,no,0,1,100,5,1", "names no stp"),
        ("new,sell,gtc,none,0.5,1,100,5,1", "has a symbol that is no whole number"),
        ("new,sell,gtc,none,0,,100,5,1", "has an owner that is no whole number"),
        ("new,sell,gtc,none,0,1,1e2,5,1", "has a price that is no whole number"),
        ("new,sell,gtc,none,0,1,,5,1", "has a price that is no whole number"),
        ("new,sell,gtc,none,0,1,100, 5,1", "has a quantity that is no whole number"),
        ("new,sell,gtc,none,0,1,100,-,1", "has a quantity that is no whole number"),
        ("new,sell,gtc,none,0,1,100,9223372036854775808,1", "has a quantity"),
        ("new,sell,gtc,none,0,1,100,5,-9223372036854775809", "has an order_id"),
        ("cancel,,,,,1,,,", "has an order_id"),
        ("replace,,gtc,none,,1,100,,1", "has a quantity"),
        ("new,sell,gtc,none,0,1,100,5,\xff", "has an order_id"),
    ],
)
def test_a_bad_line_is_named_and_nothing_is_printed(bad: str, why: str, tmp_path: Path) -> None:
    result = replayed(f"{HEADER}\n{GOOD}\n{bad}\n{GOOD}\n", tmp_path)
    assert result.exit_code == 2
    assert result.stdout == ""
    assert f"line 3 {why}" in result.stderr


def test_a_bad_header_and_a_file_that_is_not_there(tmp_path: Path) -> None:
    result = replayed("op,side\n", tmp_path)
    assert (result.exit_code, "line 1 is not the header" in result.stderr) == (2, True)
    gone = CliRunner().invoke(app, ["market", "replay", str(tmp_path / "gone.csv")])
    assert (gone.exit_code, "gone.csv" in gone.stderr) == (2, True)


def test_files_in_any_blocks_give_what_the_twin_says(monkeypatch: pytest.MonkeyPatch) -> None:
    """Through blocks of a few bytes and a buffer of a few events."""
    commands = stream(8, 1500, 3, options=False)
    lines = [HEADER, *(
        f"{c.op},{c.side},{c.tif},{c.stp},{c.symbol},{c.owner},{c.price},{c.quantity},{c.order_id}"
        for c in commands
    )]  # fmt: skip
    text = "\n".join(lines).encode()
    twin = naive.Market(3, 4096, 10_000)
    events = [event for seq, command in enumerate(commands) for event in twin.apply(seq, command)]
    expected = [EVENTS, *(",".join(map(str, event)) for event in events)]
    expected.append(f"state,{twin.state_hash()}\n")
    for block, buffer in ((1, 8), (7, 40), (1 << 20, 1 << 16)):
        monkeypatch.setattr(replay_files, "BLOCK_BYTES", block)
        monkeypatch.setattr(replay_files, "EVENTS", buffer)
        out = io.BytesIO()
        replay_files.replay(replay_files.read(io.BytesIO(text)), out.write)
        assert out.getvalue().decode() == "\n".join(expected)


def test_words_are_those_of_the_format() -> None:
    assert OPS[:3] == ("new", "cancel", "replace")
    assert (*SIDES, *TIFS) == ("buy", "sell", "gtc", "ioc", "fok", "post", "market")
    assert STPS == ("none", "cancel_newest", "cancel_oldest", "cancel_both", "decrement")
    assert KINDS[:6] == ("ack", "trade", "cancelled", "rejected", "replaced", "decremented")
    assert {"", "symbol", "quantity", "price", "duplicate", "post_only", "fok", "unknown", "owner",
            "ioc", "user", "stp"} < set(REASONS)  # fmt: skip
