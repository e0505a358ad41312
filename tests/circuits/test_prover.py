"""The prover package, by node's own tests: golden vectors, and a real proof in a worker thread."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.circuits.conftest import NodeTests

from tests.circuits.conftest import PROVER, SECONDS

pytestmark = pytest.mark.timeout(SECONDS)


def test_folding_and_trees(node_tests: NodeTests) -> None:
    node_tests(PROVER, "listen.test.js")


@pytest.mark.slow
def test_proving(node_tests: NodeTests) -> None:
    node_tests(PROVER, "prove.test.js")
