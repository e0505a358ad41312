"""Share issues: terms, and the way from a draft to the end of the sale. Pure."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import msgspec
from msgspec.structs import replace

from domain.decision import Decision, Forget
from domain.market import locks
from domain.market.holders import Holding
from domain.market.price_views import reference_milliminor
from domain.market.state import Changes, Deciders, Issue, Market
from domain.market.status import require, require_selling
from domain.market.views import after, changed, holding_view, issue_view
from domain.policy import BPS, MarketPolicy
from messages.keys import derive_key, is_id
from messages.ledger import LedgerTransaction, Posting, transfer
from messages.market import (
    ActivateIssue,
    BadIssue,
    DraftIssue,
    GetHolding,
    GetIssue,
    HoldingChanged,
    IssueActivated,
    IssueDrafted,
    IssueExists,
    IssueNotActive,
    IssueNotDraft,
    IssueNotFound,
    IssueNotPaused,
    IssuePaused,
    IssueResumed,
    IssueStatus,
    IssueTerminated,
    LockReason,
    MarketEvent,
    PauseIssue,
    ResumeIssue,
    SharesWereLocked,
    SongNotOpen,
    TerminateIssue,
    issue_id_of,
)
from messages.market.accounts import (
    PURPOSE_ISSUE,
    PURPOSE_RETURN,
    available,
    issued,
    locked,
    offered,
    share_currency,
)

Outcome: TypeAlias = Decision[MarketEvent]


def _draft(policy: MarketPolicy, market: Market, command: DraftIssue, now_ms: int) -> Outcome:
    if market.issue.status is not IssueStatus.NONE:
        raise IssueExists(issue_id=market.issue_id)
    _check_terms(policy, market, command, now_ms)
    fields = msgspec.structs.asdict(command)
    event = IssueDrafted(issue_id=market.issue_id, at_ms=now_ms, **fields)
    return Decision((event,), issue_view(market, _issue_of(event)))


def _check_terms(policy: MarketPolicy, market: Market, terms: DraftIssue, now_ms: int) -> None:
    """Refuse the first term that is out of range."""
    cap_shares = terms.shares * terms.cap_bps // BPS
    offered_shares = terms.shares - terms.retained
    least, most = (bps * terms.shares for bps in (policy.min_retained_bps, policy.max_retained_bps))
    rules = {
        "issue_id": market.issue_id == issue_id_of(terms.song_id, terms.generation),
        "song_id": is_id(terms.song_id),
        "artist_user_id": is_id(terms.artist_user_id),
        "currency": terms.currency in policy.currencies,
        "shares": 0 < terms.shares <= policy.max_shares,
        "retained": least <= terms.retained * BPS <= most,
        "tick_minor": 0 < terms.tick_minor <= policy.max_price_minor,
        "cap_bps": terms.cap_bps in policy.cap_presets_bps and cap_shares > 0,
        "minimum": 0 < terms.minimum <= min(cap_shares, offered_shares),
        "locked": 0 <= terms.locked <= terms.retained,
        "locked_until_ms": not terms.locked
        or now_ms < terms.locked_until_ms <= now_ms + policy.max_lock_ms,
    }
    dearest = min(policy.max_price_minor, policy.max_held_minor // max(terms.shares, 1))
    price_fits = 0 < terms.price_minor <= dearest
    rules["price_minor"] = price_fits and terms.price_minor % max(terms.tick_minor, 1) == 0
    for field, holds in rules.items():
        if not holds:
            raise BadIssue(f"{field} is out of range", field=field)


def _activate(policy: MarketPolicy, market: Market, command: ActivateIssue, now_ms: int) -> Outcome:
    issue = require(market, IssueStatus.DRAFT, otherwise=IssueNotDraft)
    if command.earned_units is not None and command.earned_units < policy.open_at_units:
        raise SongNotOpen(earned=command.earned_units, needed=policy.open_at_units)
    artist, for_sale = issue.artist_user_id, issue.shares - issue.retained
    kept_back = issue.locked if issue.locked_until_ms > now_ms else 0
    events: list[MarketEvent] = [
        IssueActivated(market.issue_id, issue.retained, for_sale, now_ms),
    ]
    if kept_back:
        lock_id = locks.retained_lock_id(market.issue_id)
        until, reason = issue.locked_until_ms, LockReason.REQUEST
        events.append(
            SharesWereLocked(market.issue_id, lock_id, artist, kept_back, until, reason, now_ms)
        )
    owned = Holding(available=issue.retained - kept_back, locked=kept_back)
    events.append(changed(market.issue_id, artist, owned, now_ms))
    answer = issue_view(market, replace(issue, status=IssueStatus.ACTIVE))
    minted = _minted(market, kept_back)
    timers = locks.next_timer(market, *events)
    return Decision(tuple(events), answer, transactions=(minted,), timers=timers)


def _minted(market: Market, kept_back: int) -> LedgerTransaction:
    issue, issue_id = market.issue, market.issue_id
    currency = share_currency(issue_id)
    lines = {
        issued(issue_id): -issue.shares,
        offered(issue_id): issue.shares - issue.retained,
        available(issue.artist_user_id, currency): issue.retained - kept_back,
        locked(issue.artist_user_id, currency): kept_back,
    }
    return _move("share-issue", issue_id, PURPOSE_ISSUE, lines)


def _move(cause: str, issue_id: str, purpose: str, lines: dict[str, int]) -> LedgerTransaction:
    postings = tuple(Posting(code, amount) for code, amount in lines.items() if amount)
    return LedgerTransaction(derive_key(cause, issue_id), f"{cause}:{issue_id}", purpose, postings)


def _pause(policy: MarketPolicy, market: Market, command: PauseIssue, now_ms: int) -> Outcome:
    issue = require_selling(market)
    answer = issue_view(market, replace(issue, status=IssueStatus.PAUSED))
    return Decision((IssuePaused(market.issue_id, now_ms),), answer)


def _resume(policy: MarketPolicy, market: Market, command: ResumeIssue, now_ms: int) -> Outcome:
    issue = require(market, IssueStatus.PAUSED, otherwise=IssueNotPaused)
    answer = issue_view(market, replace(issue, status=IssueStatus.ACTIVE))
    return Decision((IssueResumed(market.issue_id, now_ms),), answer)


def _terminate(
    policy: MarketPolicy, market: Market, command: TerminateIssue, now_ms: int
) -> Outcome:
    issue = require(
        market,
        IssueStatus.DRAFT,
        IssueStatus.ACTIVE,
        IssueStatus.PAUSED,
        otherwise=IssueNotActive,
    )
    void = _leaves_nobody(market)
    event = IssueTerminated(market.issue_id, issue.unsold, void, now_ms)
    answer = issue_view(market, replace(issue, status=IssueStatus.TERMINATED, voided=void))
    if issue.status is IssueStatus.DRAFT:
        return Decision((event,), answer)
    artist = issue.artist_user_id
    held = Holding() if void else after(market, artist, lambda h: h.acquire(issue.unsold, 0))
    events = (event, changed(market.issue_id, artist, held, now_ms))
    timers = (Forget(locks.TIMER),) if void else ()
    back = _burnt(market) if void else _returned(market)
    return Decision(events, answer, transactions=(back,), timers=timers)


def _leaves_nobody(market: Market) -> bool:
    """Whether no share, order or revenue is anybody's but the artist's."""
    artist = market.issue.artist_user_id
    others = (h for user_id, h in market.holders.items() if user_id != artist)
    trading = any(h.held or h.buying for h in market.holders.values())
    return not (trading or market.revenue_minor or any(h.shares for h in others))


def _burnt(market: Market) -> LedgerTransaction:
    issue, issue_id = market.issue, market.issue_id
    own, currency = market.holding(issue.artist_user_id), share_currency(issue_id)
    lines = {
        issued(issue_id): issue.shares,
        offered(issue_id): -issue.unsold,
        available(issue.artist_user_id, currency): -own.available,
        locked(issue.artist_user_id, currency): -own.locked,
    }
    return _move("share-return", issue_id, PURPOSE_RETURN, lines)


def _returned(market: Market) -> LedgerTransaction:
    issue, issue_id = market.issue, market.issue_id
    return transfer(
        derive_key("share-return", issue_id),
        offered(issue_id),
        available(issue.artist_user_id, share_currency(issue_id)),
        issue.unsold,
        cause=f"share-return:{issue_id}",
        purpose=PURPOSE_RETURN,
    )


def _get(policy: MarketPolicy, market: Market, command: GetIssue, now_ms: int) -> Outcome:
    if market.issue.status is IssueStatus.NONE:
        raise IssueNotFound(issue_id=market.issue_id)
    return Decision(answer=issue_view(market, market.issue))


def _get_holding(policy: MarketPolicy, market: Market, command: GetHolding, now_ms: int) -> Outcome:
    if market.issue.status is IssueStatus.NONE:
        raise IssueNotFound(issue_id=market.issue_id)
    view = holding_view(market, command.user_id, market.holding(command.user_id))
    price = reference_milliminor(market, now_ms)
    return Decision(answer=replace(view, reference_milliminor=price))


# --- facts ----------------------------------------------------------------------------------------


def _issue_of(event: IssueDrafted) -> Issue:
    fields = msgspec.structs.asdict(event)
    del fields["issue_id"], fields["at_ms"]
    return Issue(status=IssueStatus.DRAFT, **fields)


def _drafted(market: Market, event: IssueDrafted) -> None:
    market.issue = _issue_of(event)


def _activated(market: Market, event: IssueActivated) -> None:
    market.issue = replace(market.issue, status=IssueStatus.ACTIVE)
    market.owned_by(market.issue.artist_user_id).acquire(event.retained, 0)


def _becomes(status: IssueStatus) -> Callable[[Market, MarketEvent], None]:
    def change(market: Market, _event: MarketEvent) -> None:
        market.issue = replace(market.issue, status=status)

    return change


def _terminated(market: Market, event: IssueTerminated) -> None:
    market.issue = replace(market.issue, status=IssueStatus.TERMINATED, voided=event.voided)
    if event.voided:
        market.holders.clear()
        market.locks.clear()
    elif event.returned:
        market.owned_by(market.issue.artist_user_id).acquire(event.returned, 0)


def _is_told(market: Market, event: HoldingChanged) -> None:
    """It follows from other facts, and is for readers."""


DECIDERS: Deciders = {
    DraftIssue: _draft,
    ActivateIssue: _activate,
    PauseIssue: _pause,
    ResumeIssue: _resume,
    TerminateIssue: _terminate,
    GetIssue: _get,
    GetHolding: _get_holding,
}
CHANGES: Changes = {
    IssueDrafted: _drafted,
    IssueActivated: _activated,
    IssuePaused: _becomes(IssueStatus.PAUSED),
    IssueResumed: _becomes(IssueStatus.ACTIVE),
    IssueTerminated: _terminated,
    HoldingChanged: _is_told,
}
