"""Versions of the antifraud policy, and which of them decides."""

from __future__ import annotations

import msgspec

from domain.payments.risk import RiskPolicy
from domain.payments.risk_policy import FIRST, read, write
from storage import audit
from storage.database import Connection, Pool

LOCK = "select pg_advisory_xact_lock(hashtextextended('risk.policies', 0))"
ACTIVE = """
select p.policy from payments.risk_activations a join payments.risk_policies p using (version)
order by a.number desc limit 1"""
SEED = """
with first as (
    insert into payments.risk_policies (version, policy, note, proposed_by, at_ms)
    values ($1, $2, 'the first', $3, $4) on conflict do nothing returning version)
insert into payments.risk_activations (version, activated_by, reason, at_ms)
select version, $3, 'the first', $4 from first"""
LAST = "select coalesce(max(version), 0) from payments.risk_policies"
ADD = """
insert into payments.risk_policies (version, policy, note, proposed_by, at_ms)
values ($1, $2, $3, $4, $5)"""
ACTIVATE = """
insert into payments.risk_activations (version, activated_by, reason, at_ms)
select version, $2, $3, $4 from payments.risk_policies where version = $1"""
_COLUMNS = """
    p.version, p.policy, p.note, p.proposed_by, p.at_ms,
    p.version = (select version from payments.risk_activations order by number desc limit 1)
        as active"""
GET = f"select {_COLUMNS} from payments.risk_policies p where version = $1"  # noqa: S608 - constants
NEWEST = f"""
select {_COLUMNS} from payments.risk_policies p
where $1::bigint is null or version < $1 order by version desc limit $2"""  # noqa: S608 - constants


class PolicyRow(msgspec.Struct, frozen=True):
    """A version, who proposed it and why, and whether it decides now."""

    version: int
    policy: RiskPolicy
    note: str
    proposed_by: str
    at_ms: int
    active: bool


async def active(connection: Connection, at_ms: int) -> RiskPolicy:
    """The policy that decides; on a new platform the one of the code, which is kept."""
    text = await connection.fetchval(ACTIVE)
    if text is None:
        await connection.execute(SEED, FIRST.version, write(FIRST), audit.PLATFORM, at_ms)
        return FIRST
    return read(text)


async def propose(
    connection: Connection, policy: RiskPolicy, note: str, proposed_by: str, at_ms: int
) -> RiskPolicy:
    """Keep a policy as the next version. It decides nothing until it is activated."""
    await active(connection, at_ms)
    await connection.execute(LOCK)
    version = 1 + await connection.fetchval(LAST)
    numbered = msgspec.structs.replace(policy, version=version)
    await connection.execute(ADD, version, write(numbered), note, proposed_by, at_ms)
    await _audit(connection, "risk-policy.proposed", proposed_by, version, note, at_ms)
    return numbered


async def activate(
    connection: Connection, version: int, reason: str, activated_by: str, at_ms: int
) -> bool:
    """Have a version decide from now on; False if there is none."""
    done = await connection.execute(ACTIVATE, version, activated_by, reason, at_ms)
    if not done.endswith(" 1"):
        return False
    await _audit(connection, "risk-policy.activated", activated_by, version, reason, at_ms)
    return True


async def get(connection: Connection | Pool, version: int) -> PolicyRow | None:
    """A version."""
    row = await connection.fetchrow(GET, version)
    return None if row is None else PolicyRow(**{**row, "policy": read(row["policy"])})


async def newest(pool: Pool, below: int | None, limit: int) -> list[PolicyRow]:
    """Versions below a number, newest first."""
    rows = await pool.fetch(NEWEST, below, limit)
    return [PolicyRow(**{**row, "policy": read(row["policy"])}) for row in rows]


async def _audit(
    connection: Connection, action: str, actor: str, version: int, why: str, at_ms: int
) -> None:
    await audit.record(
        connection,
        action,
        actor=actor,
        subject=f"risk-policy:{version}",
        at_ms=at_ms,
        detail={"reason": why},
    )
