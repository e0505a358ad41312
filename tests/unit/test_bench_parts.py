"""The parts of the benchmarks that have an answer: parsers, frames, windows, the one message."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from pathlib import Path

import pytest

from api.realtime.frames import frame
from benchmarks import node, python_peers
from benchmarks.child import Child
from benchmarks.fanout_client import OURS, PLAIN, SOCKET_IO, Audience, client_frame, flat_out, paced
from benchmarks.fanout_message import SIZE, shown, template
from benchmarks.http_load import Load, answer_end, ask, parse_wrk

WRK = """\
Running 4s test @ http://127.0.0.1:18400/api/v1/ping
  1 threads and 64 connections
  Thread Stats   Avg      Stdev     Max   +/- Stdev
    Latency    15.13ms    5.62ms  61.12ms   83.19%
    Req/Sec     4.30k   496.72     5.01k    82.50%
  Latency Distribution
     50%  500.00us
     75%   16.62ms
     90%   20.46ms
     99%    1.25s
  17130 requests in 4.00s, 7.95MB read
Requests/sec:   4277.01
Transfer/sec:      1.98MB
"""
BAD = """\
  Socket errors: connect 1, read 2, write 3, timeout 4
  Non-2xx or 3xx responses: 90
"""


def test_wrk_is_understood() -> None:
    assert parse_wrk(WRK) == Load(4277.01, 0.5, 1250.0, 0)
    assert parse_wrk(WRK + BAD).failed == 100


def test_what_wrk_does_not_print_is_no_result() -> None:
    with pytest.raises(ValueError, match="wrk"):
        parse_wrk("unable to connect to 127.0.0.1:1: Connection refused")


def test_an_answer_ends_where_its_length_says() -> None:
    answer = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nbody"
    assert answer_end(answer + b"HTTP/1.1 200") == len(answer)
    assert [answer_end(answer[:cut]) for cut in range(len(answer))] == [0] * len(answer)
    with pytest.raises(ValueError, match="Content-Length"):
        answer_end(b"HTTP/1.1 200 OK\r\n\r\nContent-Length: 4\r\n")


async def test_our_http_client_counts_answers_and_failures() -> None:
    statuses = iter([b"200 OK", b"503 Busy"])

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while await reader.readuntil(b"\r\n\r\n"):
            if (status := next(statuses, None)) is None:
                break
            writer.write(b"HTTP/1.1 " + status + b"\r\nContent-Length: 2\r\n\r\nok")
        writer.close()
        await writer.wait_closed()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        found = await ask(f"http://127.0.0.1:{port}/", 1, 10)
    assert found.failed == 2  # the refusal, and the connection that ended before its time
    assert 0 < found.p50_ms <= found.p99_ms


def test_everyone_says_what_our_door_says() -> None:
    said = template()
    for number, at_ns in ((0, 1), (5_000_000, 2**63)):
        text = shown(number, f"{at_ns:0{said.width}d}")
        assert len(text) == SIZE
        assert json.loads(text)["data"]["at"] == f"{at_ns:0{said.width}d}"
        assert len(said.text(at_ns)) == SIZE
    assert said.text(7) == shown(0, f"{7:0{said.width}d}")


def test_the_time_is_read_at_its_place_in_every_dialect() -> None:
    said = template()
    text = said.text(123_456_789)
    for dialect, payload in ((OURS, text), (PLAIN, text), (SOCKET_IO, f'42["event",{text}]')):
        assert len(payload) == dialect.size
        assert int(payload[-dialect.tail - said.width : -dialect.tail]) == 123_456_789


def test_a_client_frame_is_a_masked_server_frame() -> None:
    assert client_frame(b"hello") == b"\x81\x85" + bytes(4) + frame(b"hello", 0x81)[2:]


class Sent:
    """A server that delivers at once what it is asked for, a message to each of three listeners."""

    def __init__(self) -> None:
        self.audience = Audience(0, PLAIN, template().width)
        self.audience._transports = [None] * 3  # type: ignore[list-item]
        self.under_way = self.most = self.total = 0

    def send(self, messages: int) -> None:
        self.under_way += messages
        self.total += messages
        self.most = max(self.most, self.under_way)
        asyncio.get_running_loop().call_soon(self._deliver, messages)

    def _deliver(self, messages: int) -> None:
        tally = self.audience.tally
        for _ in range(messages):
            self.under_way -= 1
            for _listener in range(3):
                tally.count += 1
                if tally.latencies_ns is not None:
                    tally.latencies_ns.append(2_000_000)
                if tally.count == tally.due:
                    tally.on_due()


async def test_flat_out_keeps_to_its_window_and_waits_for_the_last() -> None:
    server = Sent()
    rate = await flat_out(server.audience, server.send, window=8, seconds=0.02)
    assert rate > 0
    assert server.under_way == 0
    assert server.audience.tally.count == 3 * server.total
    assert 8 <= server.most <= 12


async def test_paced_gives_a_latency_for_each_delivery() -> None:
    server = Sent()
    assert await paced(server.audience, lambda: server.send(5), 5) == [2.0] * 15


def test_peers_are_installed_anew_when_their_lock_is_newer(tmp_path: Path) -> None:
    lock, left = tmp_path / "package-lock.json", tmp_path / "node_modules" / ".package-lock.json"
    lock.touch()
    assert not node.is_installed(tmp_path)
    left.parent.mkdir()
    left.touch()
    os.utime(lock, (1, 1))
    assert node.is_installed(tmp_path)
    os.utime(left, (0, 0))
    assert not node.is_installed(tmp_path)


def test_a_child_says_obeys_and_ends(capfd: pytest.CaptureFixture[str]) -> None:
    script = "print('ready 7', flush=True); print(input().upper(), flush=True); input()"
    child = Child([sys.executable, "-c", script])
    child.tell("go")
    assert (child.said, child.line()) == ("7", "GO")
    assert child.memory_bytes() > 0
    assert child.busy_s() >= 0
    child.stop()
    assert "EOFError" in capfd.readouterr().err


def test_a_child_that_does_not_start_is_told(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(RuntimeError, match="did not start"):
        Child([sys.executable, "-c", "raise SystemExit('no port')"])
    assert "no port" in capfd.readouterr().err


def test_python_peers_are_pinned_and_one_that_cannot_be_had_is_absent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert {"py-ecc", "mclbn256", "groth16py", "zksnake", "polars"} <= set(python_peers.wanted())
    python, wanted = tmp_path / "python", tmp_path / "requirements.txt"
    python.write_text('#!/bin/sh\n[ "$1" = -c ] && echo Here_It 1 || { echo no >&2; exit 1; }\n')
    python.chmod(0o755)
    wanted.write_text("# peers\nhere-it==1\n\nelse-where==2\n", "utf-8")
    monkeypatch.setattr(python_peers, "PYTHON", python)
    monkeypatch.setattr(python_peers, "WANTED", wanted)
    assert python_peers.installed() == {"here-it": "1"}
    assert python_peers.missing() == {"else-where": "pip failed: no"}
