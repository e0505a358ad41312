"""All that the platform holds of a user, as JSON, a part at a time.

Left out: what opens the account (hashes, secrets), and what is another's. A test reads the schema
and wants every table that names users in PARTS or in LEFT_OUT.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import Any

from storage import users_external, users_factors, users_wallets
from storage.database import Connection

AT_ONCE = 500

LEFT_OUT: Mapping[str, str] = {
    "users.refresh_tokens": "secrets",
    "users.mail_tokens": "secrets; what they are for is in `letters`",
    "users.registrations": "empty once there is an account",
    "users.pending_sign_ins": "a sign-in under way",
    "users.factor_failures": "counters of guesses",
    "users.wallet_challenges": "a link under way",
    "users.totp": "in `factors`",
    "users.recovery_codes": "in `factors`",
    "users.passkeys": "in `factors`",
    "users.wallets": "in `wallets`",
    "users.external_identities": "in `external_identities`",
    "users.passkey_challenges": "a proof under way",
    "payments.conversion_quotes": "offers that lapsed within a minute; what was taken is there",
    "payments.risk_observations": "it would tell those who are looked for how they are found",
    "payments.risk_links": "it would tell those who are looked for how they are found",
}

# `$1`: the user's id. Every part is a list of objects, in the order of time where it has one.
PARTS: Mapping[str, str] = {
    "account": """
        select user_id, username, email, email_verified_at_ms, role, points, time_zone, locale,
            status, created_at_ms
        from users.users where user_id = $1""",
    "identity": """
        select commitment, number, registered_at_ms from users.identities where user_id = $1""",
    "profile": """
        select display_name, bio, avatar_url, links, updated_at_ms from users.profiles
        where user_id = $1""",
    "sessions": """
        select session_id, created_at_ms, last_used_at_ms, expires_at_ms, methods,
            authenticated_at_ms, device, address, place, ended_at_ms, ended_because
        from users.sessions where user_id = $1 order by created_at_ms, session_id""",
    "api_keys": """
        select key_id, name, scopes, created_at_ms, expires_at_ms, used_at_ms, revoked_at_ms
        from users.api_keys where user_id = $1 order by created_at_ms, key_id""",
    "earlier_usernames": """
        select until_ms from users.retired_usernames where user_id = $1 order by until_ms""",
    "letters": """
        select template, recipient, locale, state, queued_at_ms, done_at_ms from mail.outgoing
        where user_id = $1 order by queued_at_ms, mail_id""",
    "follows": """
        select kind, target_id, following, since_ms from users.follows where follower_id = $1
        order by since_ms, target_id""",
    "blocks": """
        select blocked_id, at_ms from users.blocks where user_id = $1 order by at_ms, blocked_id""",
    "activity": """
        select day, kind, count, amount, points from users.activity where user_id = $1
        order by day, kind""",
    "stats": "select * from users.stats where user_id = $1",
    "artist": """
        select artist_id, name, bio, avatar_url, links, songs, created_at_ms, verified_at_ms
        from music.artists where user_id = $1""",
    "artist_requests": """
        select request_id, artist_id, kind, evidence, links, status, at_ms, decided_at_ms,
            explanation
        from music.artist_requests where user_id = $1 order by at_ms, request_id""",
    "songs": """
        select s.song_id, s.title, s.duration_ms, s.codec, s.audio_bytes, s.published_at_ms
        from music.songs s join music.artists a using (artist_id) where a.user_id = $1
        order by s.published_at_ms, s.song_id""",
    "listens": """
        select session_id, device_id, song_id, phase, started_at_ms, ended_at_ms, end_reason,
            played_ms, beats, counted, score_bps, reasons
        from listening.sessions where user_id = $1 order by started_at_ms, session_id""",
    "folds": """
        select session_id, pool_id, commitment, encode(entropy, 'hex') as entropy,
            encode(deltas, 'hex') as deltas, leaves
        from listening.folds where user_id = $1 order by session_id""",
    "streak": "select days, longest_days, last_day from rewards.streaks where user_id = $1",
    "rewards": """
        select pool_id, song_id, amount_minor, at_ms, paid_at_ms from rewards.credits
        where payee_id = 'user:' || $1::text
            or payee_id = (
                select 'artist:' || artist_id from music.artists where user_id = $1::text::uuid)
        order by at_ms, credit_id""",
    "balances": """
        select code, balance::text as amount_minor from ledger.accounts
        where code >= 'user:' || $1::text || ':' and code < 'user:' || $1::text || ';'
        order by code""",
    "ledger": """
        select t.id, a.code, p.amount::text as amount_minor, t.purpose, t.at_ms
        from ledger.accounts a join ledger.postings p on p.account_id = a.id
        join ledger.transactions t on t.id = p.transaction_id
        where a.code >= 'user:' || $1::text || ':' and a.code < 'user:' || $1::text || ';'
        order by t.id, p.line""",
    "holdings": """
        select issue_id, available, held, locked, cost_minor, realised_minor, changed_at_ms
        from market.holdings where user_id = $1 order by issue_id""",
    "purchases": """
        select purchase_id, issue_id, shares, price_minor, paid_minor, fee_minor, at_ms
        from market.purchases where user_id = $1 order by at_ms, purchase_id""",
    "locks": """
        select lock_id, issue_id, shares, until_ms, reason, locked_at_ms, unlocked_at_ms
        from market.locks where user_id = $1 order by locked_at_ms, lock_id""",
    "distributions": """
        select distribution_id, index, issue_id, currency, shares, amount_minor, salt, at_ms
        from market.payments where user_id = $1 order by at_ms, distribution_id, index""",
    "orders": """
        select issue_id, order_id, side, status, reason, shares, filled, remaining, limit_minor,
            stop_minor, display, expires_at_ms, paid_minor, fee_minor, placed_at_ms, changed_at_ms
        from market.orders where user_id = $1 order by placed_at_ms, issue_id, order_id""",
    "issues": """
        select issue_id, song_id, status, currency, shares, retained, sold, price_minor,
            drafted_at_ms, activated_at_ms
        from market.issues where artist_user_id = $1 order by drafted_at_ms, issue_id""",
    "payments": """
        select payment_id, purpose, status, amount_minor::text as amount_minor, currency, method,
            gateway, received_minor::text as received_minor,
            returned_minor::text as returned_minor, failure, created_at_ms, changed_at_ms
        from payments.payments where payer_id = $1 order by created_at_ms, payment_id""",
    "paid_purchases": """
        select purchase_id, purpose, subject_id, status, amount_minor, currency, quantity,
               returned_minor, failure, created_at_ms, changed_at_ms
        from purchases.purchases where buyer_id = $1 order by created_at_ms, purchase_id""",
    "drops": """
        select drop_id, song_id, name, status, currency, price_minor, supply, reserved, minted,
            burned, drafted_at_ms
        from drops.drops where artist_user_id = $1 order by drafted_at_ms, drop_id""",
    "drop_purchases": """
        select reservation_id, drop_id, count, first_token, currency, paid_minor, fee_minor,
            purchased_at_ms, returned_at_ms, reason
        from drops.purchases where buyer_id = $1 order by purchased_at_ms, reservation_id""",
    "tokens": """
        select drop_id, token, reservation_id, minted_at_ms, burned_at_ms
        from drops.tokens where owner_id = $1 order by minted_at_ms, drop_id, token""",
    "ventures": """
        select venture_id, name, pitch, status, currency, goal_minor, cap_minor, deadline_ms,
            tiers, raised_minor, fee_minor, drafted_at_ms
        from ventures.ventures where artist_user_id = $1 order by drafted_at_ms, venture_id""",
    "investments": """
        select investment_id, venture_id, currency, amount_minor, status, made_at_ms, ended_at_ms,
            reason
        from ventures.investments where investor_id = $1 order by made_at_ms, investment_id""",
    "benefits": """
        select venture_id, benefit_id, status, reason, changed_at_ms
        from ventures.deliveries where investor_id = $1 order by changed_at_ms, venture_id""",
    "saved_methods": """
        select m.method_id, c.gateway, m.status, m.brand, m.last4, m.expires_month,
            m.expires_year, m.is_default, m.made_at_ms
        from payments.saved_methods m join payments.customers c using (user_id)
        where m.user_id = $1 order by m.made_at_ms, m.method_id""",
    "conversions": """
        select conversion_id, source_currency, source_minor::text as source_minor,
            fee_minor::text as fee_minor, target_currency, target_minor::text as target_minor,
            at_ms
        from payments.conversions where user_id = $1 order by at_ms, conversion_id""",
    "payouts": """
        select payout_id, method_id, provider, status, amount_minor::text as amount_minor,
            charged_minor::text as charged_minor, currency, failure, created_at_ms, changed_at_ms
        from payments.payouts where user_id = $1 order by created_at_ms, payout_id""",
    "payout_methods": """
        select method_id, provider, label, state, is_default, added_at_ms
        from payments.payout_methods where user_id = $1 order by added_at_ms, method_id""",
    "reports": """
        select report_id, reason, text, at_ms from moderation.reports where reporter_id = $1
        order by at_ms, report_id""",
    "suspensions": """
        select suspension_id, explanation, from_ms, until_ms, status, appeal, appeal_text,
            appealed_at_ms, decided_at_ms, decision_text
        from moderation.suspensions where user_id = $1 order by from_ms, suspension_id""",
    "audit": """
        select at_ms, action, actor, subject, detail from audit.entries
        where actor = $1::text or subject = 'user:' || $1::text order by entry_id""",
}
_OTHERS: Mapping[str, Callable[[Connection, str], Awaitable[Any]]] = {
    "factors": users_factors.export,
    "wallets": users_wallets.export,
    "external_identities": users_external.export,
}


def statement(part: str) -> str:
    """The statement of a part: a row is the JSON of an object."""
    return f"select row_to_json(found)::text from ({PARTS[part]}) as found"  # noqa: S608


async def export(connection: Connection, user_id: str) -> AsyncIterator[bytes]:
    """The document, in pieces, as of one moment. In a transaction of the caller's."""
    yield b"{"
    for number, name in enumerate(PARTS):
        yield (b",\n" if number else b"\n") + json.dumps(name).encode() + b": ["
        first = True
        async for row in connection.cursor(statement(name), user_id, prefetch=AT_ONCE):
            yield (b"\n " if first else b",\n ") + row[0].encode()
            first = False
        yield b"]"
    for name, read in _OTHERS.items():
        found = json.dumps(await read(connection, user_id), default=str)
        yield b",\n" + json.dumps(name).encode() + b": " + found.encode()
    yield b"\n}\n"
