"""Which failures of a batch are worth another attempt."""

from __future__ import annotations

import asyncpg
import pytest

from actors.runtime.failures import is_passing


@pytest.mark.parametrize(
    "error",
    [
        ConnectionResetError(),
        TimeoutError(),
        asyncpg.ConnectionDoesNotExistError("gone"),
        asyncpg.DeadlockDetectedError("deadlock"),
        # What asyncpg raises when the server dies just as a statement is sent.
        asyncpg.InternalClientError("cannot switch to state 12; another operation is in progress"),
    ],
)
def test_the_world_failed(error: Exception) -> None:
    assert is_passing(error)


@pytest.mark.parametrize("error", [asyncpg.DataError("bad"), ValueError(), ZeroDivisionError()])
def test_the_batch_is_at_fault(error: Exception) -> None:
    assert not is_passing(error)
