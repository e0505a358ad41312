"""Cases, suspensions and appeals as state machines: what no order of commands may bring about."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from domain.moderation import (
    POLICY,
    Case,
    Suspension,
    Verdict,
    appeal,
    check_authority,
    check_can_be_suspended,
    check_report,
    claim,
    clean_explanation,
    clean_report,
    decide_appeal,
    is_due,
    lapse,
    release,
    resolve,
)
from integrations import appeal_tokens
from messages.errors import Refusal
from messages.moderation import (
    AlreadySuspended,
    AppealDecision,
    AppealExists,
    AppealStatus,
    AuthorityMissing,
    BadExplanation,
    BadReportText,
    BadSuspension,
    CaseClaimed,
    CaseNotClaimed,
    CaseResolved,
    CaseStatus,
    NoAppeal,
    NobodysTarget,
    Outcome,
    OwnSuspension,
    ReportLimit,
    SelfModeration,
    SelfReport,
    SuspensionOver,
    SuspensionStatus,
)
from messages.users import Role

NOW = 1_790_000_000_000
DISMISS = Verdict(Outcome.DISMISS, "fine")
MODERATORS = ("m-1", "m-2", "u")
OPEN = Case("u")
RUNNING = Suspension("u", "m-1", NOW + 1_000)


class Cases(RuleBasedStateMachine):
    """Moderators, one of them the subject, do what they like with a case as time goes by."""

    def __init__(self) -> None:
        super().__init__()
        self.case = OPEN
        self.now = NOW
        self.resolutions = 0

    def attempt(self, act: object, *arguments: object) -> bool:
        before = self.case
        try:
            self.case = act(self.case, *arguments)  # type: ignore[operator]
        except Refusal:
            assert self.case == before
            return False
        assert before.status is not CaseStatus.RESOLVED, "what is resolved stays so"
        return True

    @rule(by=st.sampled_from(MODERATORS))
    def claims(self, by: str) -> None:
        holder, since = self.case.claimed_by, self.case.claimed_at_ms
        if self.attempt(claim, by, self.now) and holder not in {None, by}:
            assert since is not None
            assert self.now >= since + POLICY.claim_ms, "nobody is thrown out before their time"

    @rule(by=st.sampled_from(MODERATORS))
    def releases(self, by: str) -> None:
        holder = self.case.claimed_by
        if self.attempt(release, by):
            assert holder == by

    @rule(by=st.sampled_from(MODERATORS), outcome=st.sampled_from(list(Outcome)))
    def resolves(self, by: str, outcome: Outcome) -> None:
        holder = self.case.claimed_by
        if self.attempt(resolve, by, Verdict(outcome, "why"), self.now):
            assert holder == by
            self.resolutions += 1

    @rule(ms=st.sampled_from([1, POLICY.claim_ms - 1, POLICY.claim_ms]))
    def time_passes(self, ms: int) -> None:
        self.now += ms

    @invariant()
    def it_is_whole(self) -> None:
        case = self.case
        assert (case.status is CaseStatus.OPEN) == (case.claimed_by is None)
        assert (case.status is CaseStatus.RESOLVED) == (case.outcome is not None)
        assert case.claimed_by != case.subject_id, "nobody decides about themselves"
        assert self.resolutions == (case.status is CaseStatus.RESOLVED)


class Suspensions(RuleBasedStateMachine):
    """The user appeals, moderators decide, time ends it, in any order."""

    def __init__(self) -> None:
        super().__init__()
        self.row = RUNNING
        self.now = NOW
        self.appeals = self.decisions = 0

    def attempt(self, act: object, *arguments: object) -> bool:
        before = self.row
        try:
            self.row = act(self.row, *arguments)  # type: ignore[operator]
        except Refusal:
            assert self.row == before
            return False
        return True

    @rule()
    def appeals_it(self) -> None:
        ended = is_due(self.row, self.now) or self.row.status is not SuspensionStatus.ACTIVE
        if self.attempt(appeal, "please", self.now):
            assert not ended
            self.appeals += 1

    @rule(by=st.sampled_from(MODERATORS), decision=st.sampled_from(list(AppealDecision)))
    def decides(self, by: str, decision: AppealDecision) -> None:
        if self.attempt(decide_appeal, by, decision, "because", self.now):
            assert by == "m-2", "neither who suspended nor who is suspended"
            self.decisions += 1

    @rule()
    def lapses(self) -> None:
        before = self.row
        self.row = lapse(self.row, self.now)
        if before.status is not SuspensionStatus.ACTIVE:
            assert self.row == before

    @rule(ms=st.sampled_from([1, 999, 1_000]))
    def time_passes(self, ms: int) -> None:
        self.now += ms

    @invariant()
    def it_is_whole(self) -> None:
        row = self.row
        assert self.appeals <= 1
        assert self.decisions <= self.appeals
        assert (row.appeal is AppealStatus.NONE) == (self.appeals == 0)
        assert (row.decided_by is not None) == (self.decisions == 1)
        overturned = row.status is SuspensionStatus.OVERTURNED
        assert overturned == (row.appeal is AppealStatus.OVERTURNED)
        assert row.decided_by not in {row.moderator_id, row.user_id}
        if row.status is SuspensionStatus.LAPSED:
            assert row.appeal is not AppealStatus.PENDING


TestCases = Cases.TestCase
TestSuspensions = Suspensions.TestCase


@given(st.sampled_from(list(Role)), st.sampled_from(list(Role)))
def test_only_admins_act_on_admins_and_nobody_on_themselves(actor: Role, subject: Role) -> None:
    with pytest.raises(SelfModeration):
        check_authority("a", actor, "a", subject)
    if subject is Role.ADMIN and actor is not Role.ADMIN:
        with pytest.raises(AuthorityMissing):
            check_authority("a", actor, "b", subject)
    else:
        check_authority("a", actor, "b", subject)


def test_what_a_case_refuses() -> None:
    held = claim(OPEN, "m-1", NOW)
    with pytest.raises(CaseClaimed):
        claim(held, "m-2", NOW + POLICY.claim_ms - 1)
    assert claim(held, "m-2", NOW + POLICY.claim_ms).claimed_by == "m-2"
    assert claim(held, "m-1", NOW + 5).claimed_at_ms == NOW + 5
    with pytest.raises(CaseNotClaimed):
        release(held, "m-2")
    with pytest.raises(CaseNotClaimed):
        resolve(OPEN, "m-1", DISMISS, NOW)
    with pytest.raises(SelfModeration):
        claim(OPEN, "u", NOW)
    done = resolve(held, "m-1", DISMISS, NOW)
    with pytest.raises(CaseResolved):
        claim(done, "m-1", NOW)
    with pytest.raises(CaseResolved):
        release(done, "m-1")
    with pytest.raises(CaseResolved):
        resolve(done, "m-1", DISMISS, NOW)
    nobodys = claim(Case(None), "m-1", NOW)
    assert resolve(nobodys, "m-1", DISMISS, NOW).outcome is Outcome.DISMISS
    with pytest.raises(NobodysTarget):
        resolve(nobodys, "m-1", Verdict(Outcome.WARN, "x"), NOW)


@pytest.mark.parametrize(
    ("outcome", "until_ms"),
    [
        (Outcome.SUSPEND, NOW), (Outcome.SUSPEND, 0),
        (Outcome.SUSPEND, NOW + POLICY.max_suspension_ms + 1),
        (Outcome.WARN, NOW + 1), (Outcome.DISMISS, NOW + 1),
    ],
)  # fmt: skip
def test_when_a_suspension_may_end(outcome: Outcome, until_ms: int) -> None:
    held = claim(OPEN, "m-1", NOW)
    with pytest.raises(BadSuspension):
        resolve(held, "m-1", Verdict(outcome, "x", until_ms), NOW)
    resolve(held, "m-1", Verdict(Outcome.SUSPEND, "x", NOW + POLICY.max_suspension_ms), NOW)
    resolve(held, "m-1", Verdict(Outcome.SUSPEND, "x"), NOW)


def test_what_an_appeal_refuses() -> None:
    with pytest.raises(NoAppeal):
        decide_appeal(RUNNING, "m-2", AppealDecision.UPHOLD, "x", NOW)
    with pytest.raises(SuspensionOver):
        appeal(RUNNING, "x", NOW + 1_000)
    pending = appeal(RUNNING, "x", NOW)
    with pytest.raises(AppealExists):
        appeal(pending, "x", NOW)
    with pytest.raises(OwnSuspension):
        decide_appeal(pending, "m-1", AppealDecision.UPHOLD, "x", NOW)
    with pytest.raises(SelfModeration):
        decide_appeal(pending, "u", AppealDecision.OVERTURN, "x", NOW)
    assert lapse(pending, NOW + 999) == pending
    assert lapse(pending, NOW + 1_000).appeal is AppealStatus.MOOT
    endless = Suspension("u", "m-1", None)
    assert not is_due(endless, 2**60)
    with pytest.raises(AlreadySuspended):
        check_can_be_suspended("suspended")


def test_reports() -> None:
    check_report("a", "b", POLICY.daily_reports - 1)
    check_report("a", None, 0)
    with pytest.raises(SelfReport):
        check_report("a", "a", 0)
    with pytest.raises(ReportLimit):
        check_report("a", "b", POLICY.daily_reports)
    assert clean_report(None) is None
    assert clean_report(" a \n b ") == "a\nb"
    for raw in ("", "x" * 1_001, "\u0000"):
        with pytest.raises(BadReportText):
            clean_report(raw)
        with pytest.raises(BadExplanation):
            clean_explanation(raw)


SUSPENSION = "0197a000-0000-7000-8000-000000000001"


def test_an_appeal_code_is_for_one_suspension_under_one_secret() -> None:
    token = appeal_tokens.make(b"k" * 32, SUSPENSION)
    assert appeal_tokens.parse(b"k" * 32, token) == SUSPENSION
    assert appeal_tokens.parse(b"l" * 32, token) is None
    other = SUSPENSION[:-1] + "2"
    forged = f"{other.replace('-', '')}.{token.partition('.')[2]}"
    assert appeal_tokens.parse(b"k" * 32, forged) is None
    for text in ("", ".", token[:-1], token + "A", token.upper(), "é" * 76, token + "\n"):
        assert appeal_tokens.parse(b"k" * 32, text) is None


@given(st.text(max_size=90))
def test_no_text_is_a_code(text: str) -> None:
    assert appeal_tokens.parse(b"k" * 32, text) is None
