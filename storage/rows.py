"""What the tables of several contexts share: rows written as columns, where listings begin."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from storage.database import Connection

# The cursor (at_ms, id) above every row, where a newest-first listing begins.
FIRST_PAGE = (2**63 - 1, "ffffffff-ffff-ffff-ffff-ffffffffffff")
# And the one below every row, where an oldest-first listing begins.
OLDEST = (0, "00000000-0000-0000-0000-000000000000")


def integers(values: Iterable[int]) -> str:
    """An array for `$n::text::bigint[]`: the driver takes five times as long for each number."""
    return "{" + ",".join(map(str, values)) + "}"


async def execute_rows(
    connection: Connection, statement: str, rows: Sequence[tuple[object, ...]]
) -> None:
    """Run a set-based statement on rows turned into columns; nothing where there are none."""
    if rows:
        await connection.execute(statement, *map(list, zip(*rows, strict=True)))
