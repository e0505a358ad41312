"""The amended template of Ray Serve's HAProxy: what it answers when nobody is there."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from api.problems import URN, Problem
from deployments import haproxy
from messages.errors import Unavailable

ANSWER = r"status (\d+) content-type application/problem\+json (.*) string '(.*)'"
ROOT = Path(__file__).resolve().parents[2]
# In a process of its own: Ray's modules stay out of this one.
LOAD = """
from deployments import haproxy
haproxy.install()
from ray.serve._private import haproxy as user, haproxy_templates
assert user.HAPROXY_CONFIG_TEMPLATE is haproxy_templates.HAPROXY_CONFIG_TEMPLATE
print(haproxy_templates.HAPROXY_CONFIG_TEMPLATE)
"""


@pytest.fixture(scope="module")
def template() -> str:
    command = [sys.executable, "-W", "ignore", "-c", LOAD]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout


def test_whoever_is_not_there_is_unavailable_for_now(template: str) -> None:
    found = re.findall(
        r"status (\d+) content-type application/problem\+json (.*) string '(.*)'", template
    )
    assert [int(status) for status, _, _ in found] == [502, 503, 504, 503]
    for status, headers, text in found:
        problem = json.loads(text)
        assert set(problem) <= set(Problem.model_fields)
        assert (problem["status"], problem["code"]) == (int(status), Unavailable.code)
        assert problem["type"] == URN + Unavailable.code
        assert headers == "hdr Retry-After 1"
    assert "errorfile" not in template
    assert "Path '%[path]' not found" not in template


def test_nothing_but_the_front_door_listens_to_the_network(template: str) -> None:
    binds = re.findall(r"^ +bind (\S+)", template, re.MULTILINE)
    assert binds
    for address in binds:
        assert address.startswith(("127.0.0.1:", "{{")), address


def test_a_template_that_changed_is_noticed() -> None:
    with pytest.raises(ValueError, match="has changed"):
        haproxy.amend("global\n")
