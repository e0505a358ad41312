"""What antifraud looks at, and what came of it: observations, features of them, assessments."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import msgspec

from domain.payments.risk import Evaluation, External, Outcome, RiskPolicy
from domain.payments.risk_features import Account, History, Seen
from domain.payments.risk_policy import MOST_COUNTED, read
from messages.payments.payments import Verdict
from storage.database import Connection, Pool
from storage.payments_risk_policies import ACTIVE

# Failures of a provider's or of the way to it, which say nothing of a card.
NOT_DECLINED = (
    "not-reached", "circuit-open", "gateway-not-configured", "no-access-token", "http-401",
    "http-403", "http-429", "rate_limit", "rate_limit_exceeded", "RATE_LIMIT_REACHED",
    "RateLimitError", "AuthenticationError", "PermissionError", "api_key_invalid", "unauthorized",
    "AUTHENTICATION_FAILURE", "NOT_AUTHORIZED",
)  # fmt: skip
LOOKED_BACK = 300  # of the payer's own payments, for what is usual
KEEP_MS = 400 * 24 * 3_600_000  # no longer than a browser keeps its name
PURGE_ROWS = 5_000
SHARERS = 50  # users that are followed from one card or browser
CIRCLE = 200  # users and instruments that are looked at in all

# The plan of GATHER is made once for a connection, perhaps while the tables are near to empty, when
# reading all of one looks cheap: so it is made of look-ups by key only.
LOCK = """
select pg_advisory_xact_lock(hashtextextended('risk:' || encode(digest, 'hex'), 0)),
    set_config('enable_seqscan', 'off', true), set_config('enable_hashjoin', 'off', true),
    set_config('enable_mergejoin', 'off', true)
from (select digest from unnest($1::bytea[]) as t (digest) order by digest) as sorted"""
_BEGUN = "count(*) filter (where r.at_ms > $2::bigint - {0})"
_SPENT = "coalesce(sum(r.worth_cents) filter (where r.at_ms > $2::bigint - {0}), 0)"
_DECLINED = """
    count(*) filter (where p.status = 'failed' and p.failure <> all ($5::text[])
                     and r.at_ms > $2::bigint - {0})"""
GATHER = f"""
with parts as (
    select kind, digest from unnest($3::text[], $4::bytea[]) as t (kind, digest)),
seen as (
    select parts.kind, counted.seen from parts cross join lateral (
        select json_build_object(
            'payments', json_build_array({_BEGUN.format(600000)}, {_BEGUN.format(3600000)},
                                         {_BEGUN.format(86400000)}),
            'spent', json_build_array({_SPENT.format(600000)}, {_SPENT.format(3600000)},
                                      {_SPENT.format(86400000)}),
            'declined', json_build_array({_DECLINED.format(600000)}, {_DECLINED.format(3600000)},
                                         {_DECLINED.format(86400000)})) as seen
        from (
            select at_ms, worth_cents, payment_id from payments.risk_sightings s
            where s.kind = parts.kind and s.digest = parts.digest
                and s.at_ms > $2::bigint - 86400000
            order by at_ms desc limit {MOST_COUNTED}) as r
        left join payments.payments p using (payment_id)) as counted),
usual as (
    select count(*) as completed, max(r.worth_cents) as most,
        percentile_disc(0.5) within group (order by r.worth_cents) as median
    from (
        select s.worth_cents, s.payment_id from payments.risk_sightings s
        join parts on parts.kind = 'user' and s.kind = 'user' and s.digest = parts.digest
        order by s.at_ms desc limit {LOOKED_BACK}) as r
    join payments.payments p using (payment_id)
    where p.status in ('completed', 'partially_refunded', 'refunded')),
own as (
    select kind, digest from parts where kind in ('card', 'device')
    union
    (select kind, digest from payments.risk_links where payer_id = $1 limit {SHARERS})),
sharers as (
    select distinct l.payer_id from own cross join lateral (
        select payer_id from payments.risk_links l
        where l.kind = own.kind and l.digest = own.digest limit {SHARERS}) as l
    limit {CIRCLE}),
theirs as (
    select distinct l.kind, l.digest from sharers join payments.risk_links l using (payer_id)
    limit {CIRCLE}),
circle as (
    select distinct l.payer_id from theirs cross join lateral (
        select payer_id from payments.risk_links l
        where l.kind = theirs.kind and l.digest = theirs.digest limit {SHARERS}) as l
    where l.payer_id <> $1 limit {CIRCLE})
select
    (select json_object_agg(kind, seen) from seen) as seen,
    usual.completed, usual.median, usual.most,
    (select json_build_object(
        'created_at_ms', created_at_ms, 'has_email', email is not null,
        'email_verified', email_verified_at_ms is not null, 'time_zone', time_zone)
     from users.users where user_id = $1) as account,
    (select json_object_agg(parts.kind, (
        select count(*) from (
            select from payments.risk_links l
            where l.kind = parts.kind and l.digest = parts.digest and l.payer_id <> $1
            limit {SHARERS}) as other))
     from parts where kind in ('card', 'device')) as others,
    (select count(*) from circle) as linked,
    (select count(*) from circle where exists (
        select from payments.payments p
        where p.payer_id = circle.payer_id and p.failure = 'denied')) as linked_denied,
    (select count(*) from circle where exists (
        select from payments.payments p
        where p.payer_id = circle.payer_id and p.status = 'disputed')) as linked_disputed,
    (select count(*) from payments.payments p
     where p.payer_id = $1 and p.status = 'disputed') as user_disputes,
    ({ACTIVE}) as policy,
    (select count(*) filter (where p.status = 'disputed') from parts
     cross join lateral (
        select s.payment_id from payments.risk_sightings s
        where s.kind = 'card' and s.digest = parts.digest
        order by s.at_ms desc limit {MOST_COUNTED}) as s
     join payments.payments p using (payment_id)
     where parts.kind = 'card') as card_disputes
from usual"""  # noqa: S608 - constants
FOUND = """
select o.payer_id::text, o.policy_version, o.features, o.at_ms, p.policy,
    a.policy_version as assessed_by, a.verdict, a.score, a.reasons, a.external,
    a.at_ms as assessed_at_ms
from payments.risk_observations o
join payments.risk_policies p on p.version = o.policy_version
left join payments.risk_assessments a using (payment_id)
where o.payment_id = $1"""
# One statement, because each costs a round trip while other payments wait for this one.
OBSERVE = """
with observed as (
    insert into payments.risk_observations (payment_id, payer_id, policy_version, features, at_ms)
    values ($1, $2, $3, $4, $5) on conflict do nothing returning payment_id),
parts as (
    select kind, digest from observed, unnest($7::text[], $8::bytea[]) as t (kind, digest)),
sighted as (
    insert into payments.risk_sightings (kind, digest, at_ms, payment_id, worth_cents)
    select kind, digest, $5, $1, $6 from parts),
linked as (
    insert into payments.risk_links (kind, digest, payer_id, first_at_ms)
    select kind, digest, $2, $5 from parts where kind in ('card', 'device')
    on conflict do nothing),
assessed as (
    insert into payments.risk_assessments
        (payment_id, policy_version, verdict, score, reasons, at_ms)
    select payment_id, $3, $9, $10, $11, $5 from observed where $9::text is not null)
select true from observed"""
ASSESS = """
insert into payments.risk_assessments
    (payment_id, policy_version, verdict, score, reasons, external, at_ms)
values ($1, $2, $3, $4, $5, $6, $7)
on conflict (payment_id) do nothing"""
PURGE = """
delete from payments.risk_sightings where ctid = any (array(
    select ctid from payments.risk_sightings where at_ms < $1 limit $2))"""
LATEST = """
select features, policy_version, external, verdict from payments.risk_assessments a
join payments.risk_observations o using (payment_id, policy_version)
order by o.at_ms desc, o.payment_id desc limit $1"""


class Part(NamedTuple):
    """Something that takes part in a payment: a user, card, browser or network, as its digest."""

    kind: str
    digest: bytes


class Observation(msgspec.Struct, frozen=True):
    """What was known when a payment was to begin."""

    payment_id: str
    payer_id: str
    policy_version: int
    features: dict[str, int]
    at_ms: int


class Assessed(msgspec.Struct, frozen=True):
    """What came of an observation. `reasons`: the rules that held."""

    verdict: Verdict
    score: int
    reasons: tuple[Outcome, ...]
    policy_version: int
    at_ms: int

    def agrees(self, found: Evaluation) -> bool:
        """Whether an evaluation comes to the same, in every reason."""
        return (self.verdict, self.score, self.reasons) == (
            found.verdict,
            found.score,
            found.reasons,
        )


class Recorded(msgspec.Struct, frozen=True):
    """An observation, the policy it was made under, and what came of it, if it was assessed."""

    observation: Observation
    policy: RiskPolicy
    assessed: Assessed | None = None
    external: External | None = None


class Replayable(msgspec.Struct, frozen=True):
    """What an assessment was made of, and its verdict."""

    features: dict[str, int]
    external: External | None
    verdict: Verdict


async def lock(connection: Connection, parts: Sequence[Part]) -> None:
    """Wait for other payments that the same take part in, until the transaction ends.

    Without it, payments begun at the same moment would not see each other.
    """
    await connection.execute(LOCK, [part.digest for part in parts])


async def gather(
    connection: Connection, payer_id: str, parts: Sequence[Part], now_ms: int
) -> tuple[History, RiskPolicy | None]:
    """What was there before a payment, and the policy that decides, if one was ever kept."""
    kinds, digests = [part.kind for part in parts], [part.digest for part in parts]
    row = await connection.fetchrow(GATHER, payer_id, now_ms, kinds, digests, NOT_DECLINED)
    assert row is not None, "a row of figures"
    history = History(
        seen=msgspec.json.decode(row["seen"], type=dict[str, Seen]),
        completed=row["completed"],
        median_cents=row["median"],
        most_cents=row["most"],
        account=row["account"] and msgspec.json.decode(row["account"], type=Account),
        others=msgspec.json.decode(row["others"] or "{}", type=dict[str, int]),
        linked=row["linked"],
        linked_denied=row["linked_denied"],
        linked_disputed=row["linked_disputed"],
        user_disputes=row["user_disputes"],
        card_disputes=row["card_disputes"] if "card" in kinds else None,
    )
    return history, row["policy"] and read(row["policy"])


async def find(connection: Connection | Pool, payment_id: str) -> Recorded | None:
    """What was observed and assessed of a payment."""
    row = await connection.fetchrow(FOUND, payment_id)
    if row is None:
        return None
    known = msgspec.json.decode(row["features"], type=dict[str, int])
    policy = read(row["policy"])
    made = Observation(payment_id, row["payer_id"], policy.version, known, row["at_ms"])
    if row["verdict"] is None:
        return Recorded(made, policy)
    reasons = msgspec.json.decode(row["reasons"], type=tuple[Outcome, ...])
    assessment = Assessed(
        Verdict(row["verdict"]), row["score"], reasons, row["assessed_by"], row["assessed_at_ms"]
    )
    return Recorded(made, policy, assessment, _external(row["external"]))


async def observe(
    connection: Connection,
    made: Observation,
    parts: Sequence[Part],
    worth_cents: int,
    found: Evaluation | None,
) -> bool:
    """Keep an observation, what takes part in the payment, and what came of it, if that is known.

    False if the payment was observed before, which stays.
    """
    done = await connection.fetchval(
        OBSERVE,
        made.payment_id,
        made.payer_id,
        made.policy_version,
        _json(made.features),
        made.at_ms,
        worth_cents,
        [part.kind for part in parts],
        [part.digest for part in parts],
        found and found.verdict.value,
        found and found.score,
        found and _json(found.reasons),
    )
    return bool(done)


async def assess(
    connection: Connection | Pool,
    payment_id: str,
    found: Evaluation,
    external: External | None,
    at_ms: int,
) -> None:
    """Keep what came of an observation, unless something was kept before, which stays."""
    await connection.execute(
        ASSESS,
        payment_id,
        found.policy_version,
        found.verdict.value,
        found.score,
        _json(found.reasons),
        external and _json(external),
        at_ms,
    )


async def purge(connection: Connection | Pool, now_ms: int) -> int:
    """Forget some sightings that are past keeping; how many."""
    done = await connection.execute(PURGE, now_ms - KEEP_MS, PURGE_ROWS)
    return int(done.rsplit(" ", 1)[1])


async def latest(pool: Pool, limit: int) -> list[Replayable]:
    """The last assessments, newest first."""
    return [
        Replayable(
            msgspec.json.decode(row["features"], type=dict[str, int]),
            _external(row["external"]),
            Verdict(row["verdict"]),
        )
        for row in await pool.fetch(LATEST, limit)
    ]


def _external(text: str | None) -> External | None:
    return None if text is None else msgspec.json.decode(text, type=External)


def _json(value: Mapping[str, int] | Sequence[Outcome] | External) -> str:
    return msgspec.json.encode(value).decode()
