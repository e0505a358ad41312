"""The rule of refresh tokens: a table, honest tabs on a bad network, a thief, and a machine."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from domain.users_refresh import Shown, Verdict, judge
from domain.users_sessions import SessionPolicy
from integrations.refresh_tokens import RefreshTokens, digest
from messages.users_sessions import RefreshTokenInvalid

POLICY = SessionPolicy(
    lifetime_ms=10_000_000, idle_ms=1_000_000, grace_ms=30_000, overtaken_ms=2_000
)
GRACE, OVERTAKEN = POLICY.grace_ms, POLICY.overtaken_ms
NOW = 5_000_000

VERDICTS = [
    # used, next used, last use, expires, ended
    ((None, None, NOW, NOW + 1, False), Verdict.ROTATE),
    ((None, None, NOW, NOW + 1, True), Verdict.OVER),
    ((None, None, NOW, NOW, False), Verdict.OVER),
    ((None, None, NOW - POLICY.idle_ms, NOW + 1, False), Verdict.OVER),
    ((None, None, NOW - POLICY.idle_ms + 1, NOW + 1, False), Verdict.ROTATE),
    ((NOW, None, NOW, NOW + 1, False), Verdict.REPEAT),
    ((NOW - GRACE, None, NOW, NOW + 1, False), Verdict.REPEAT),
    ((NOW - GRACE - 1, None, NOW, NOW + 1, False), Verdict.REUSED),
    ((NOW - GRACE - 1, None, NOW, NOW + 1, True), Verdict.OVER),
    ((NOW - 5_000, NOW - OVERTAKEN, NOW, NOW + 1, False), Verdict.REPEAT),
    ((NOW - 5_000, NOW - OVERTAKEN - 1, NOW, NOW + 1, False), Verdict.REUSED),
    ((NOW - GRACE - 1, NOW - 1, NOW, NOW + 1, False), Verdict.REUSED),
    ((NOW + 3_000, None, NOW + 3_000, NOW + 9, False), Verdict.REPEAT),  # another's clock
]


@pytest.mark.parametrize(("shown", "verdict"), VERDICTS)
def test_a_token_is_judged_by_when_it_and_the_next_were_used(
    shown: tuple[int | None, int | None, int, int, bool], verdict: Verdict
) -> None:
    assert judge(Shown(*shown), NOW, POLICY) is verdict


class Family:
    """A session as `storage/users_refresh.py` keeps it."""

    def __init__(self) -> None:
        self.used: list[int | None] = [None]
        self.last_use = 0
        self.ended = False

    def show(self, number: int, now_ms: int) -> int | None:
        """The number of the token that is answered; None: refused."""
        after = self.used[number + 1] if number + 1 < len(self.used) else None
        shown = Shown(self.used[number], after, self.last_use, POLICY.lifetime_ms, self.ended)
        match judge(shown, now_ms, POLICY):
            case Verdict.ROTATE:
                self.used[number] = self.last_use = now_ms
                self.used.append(None)
            case Verdict.REUSED:
                self.ended = True
                return None
            case Verdict.OVER:
                return None
        return len(self.used) - 1

    def live(self) -> list[int]:
        return [number for number, used in enumerate(self.used) if used is None]


Request = tuple[int, list[int], bool]  # arrives, tokens that it shows, whether its answer is lost
Answer = tuple[int, int, list[int]]  # arrives, the token that it brings, those that it removes


@given(st.data())
def test_tabs_of_one_browser_never_lose_their_session(data: st.DataObject) -> None:
    """Requests and answers are late, lost and out of order, each by less than two seconds.

    Each token has a cookie of its own, and an answer removes those that were shown
    (`api/session_cookies.py`).
    """
    family, jar, now = Family(), {0}, 0
    requests: list[Request] = []
    answers: list[Answer] = []
    delay = st.integers(0, OVERTAKEN - 1)
    for _ in range(data.draw(st.integers(1, 40))):
        # A tab refreshes: at once, in a moment, or when the access token has run out.
        now += data.draw(st.sampled_from([0, 1, 300, 1_500, 3_000, 20_000]))
        now = settle(family, jar, requests, answers, now, data.draw)
        requests.append((now + data.draw(delay), sorted(jar), data.draw(st.booleans())))
    settle(family, jar, requests, answers, now + GRACE, data.draw)
    assert not family.ended
    assert len(family.live()) == 1


def settle(
    family: Family,
    jar: set[int],
    requests: list[Request],
    answers: list[Answer],
    until: int,
    draw: object,
) -> int:
    """Let arrive what arrives until then, in its order."""
    assert callable(draw)
    while requests or answers:
        request = min(requests, default=None)
        answer = min(answers, default=None)
        if request is not None and (answer is None or request[0] <= answer[0]):
            arrives, numbers, lost = request
            if arrives > until:
                break
            requests.remove(request)
            live = family.show(numbers[-1], arrives)
            assert live is not None, "an honest tab was refused"
            if lost:  # the client sends it again
                requests.append((arrives + draw(st.integers(1, OVERTAKEN - 1)), sorted(jar), False))
            else:
                answers.append((arrives + draw(st.integers(0, OVERTAKEN - 1)), live, numbers))
        else:
            assert answer is not None
            if answer[0] > until:
                break
            answers.remove(answer)
            jar.difference_update(answer[2])
            jar.add(answer[1])
    return until


@given(st.lists(st.tuples(st.booleans(), st.integers(GRACE + 1, 900_000)), min_size=1, max_size=20))
def test_a_thief_and_a_victim_end_with_the_family_ended(turns: list[tuple[bool, int]]) -> None:
    """Both have the live token. Once each has shown one, more than the grace apart, it ends."""
    family, now, newest = Family(), 0, [0, 0]
    for who, pause in turns:
        now += pause
        answered = family.show(newest[who], now)
        if answered is not None:
            newest[who] = answered
    parties = {who for who, _ in turns}
    assert family.ended == (len(parties) == 2)


class Machine(RuleBasedStateMachine):
    """Anybody shows any token that was ever given, at any moment."""

    @initialize()
    def begin(self) -> None:
        self.family = Family()
        self.now = 0

    @rule(ms=st.one_of(st.integers(0, 3_000), st.integers(0, 100_000)))
    def wait(self, ms: int) -> None:
        self.now += ms

    @rule(data=st.data())
    def show(self, data: st.DataObject) -> None:
        number = data.draw(st.integers(0, len(self.family.used) - 1))
        used, ended = self.family.used[number], self.family.ended
        answered = self.family.show(number, self.now)
        if ended:
            assert answered is None, "what ended stays ended"
        if used is not None and self.now - used > GRACE:
            assert answered is None, "nobody goes on with a token used long ago"
            assert self.family.ended or self.now - self.family.last_use >= POLICY.idle_ms
        if answered is not None:
            assert [answered] == self.family.live()

    @precondition(lambda self: not self.family.ended)
    @rule()
    def refresh(self) -> None:
        idle = self.now - self.family.last_use >= POLICY.idle_ms
        over = idle or self.now >= POLICY.lifetime_ms
        (live,) = self.family.live()
        assert (self.family.show(live, self.now) is None) == over

    @invariant()
    def never_two_live(self) -> None:
        assert len(self.family.live()) == 1
        assert self.family.used[-1] is None


TestMachine = Machine.TestCase


def test_the_next_token_follows_from_the_token_the_seed_and_the_secret() -> None:
    ours, theirs = RefreshTokens(b"a" * 32), RefreshTokens(b"b" * 32)
    token, seed = ours.first(), ours.new_seed()
    assert ours.following(token, seed) == ours.following(token, seed)
    others = {
        ours.following(token, ours.new_seed()),
        ours.following(ours.first(), seed),
        theirs.following(token, seed),
    }
    assert len({token, ours.following(token, seed), *others}) == 5
    assert len(digest(ours.following(token, seed))) == 32


@given(st.text(max_size=60) | st.from_regex(r"vsr_[A-Za-z0-9_-]{40,45}", fullmatch=True))
def test_a_token_is_spelt_in_one_way(text: str) -> None:
    try:
        found = digest(text)
    except RefreshTokenInvalid:
        return
    assert len(text) == 47
    for other in "ABCDEFGH":  # the last character's low bits mean nothing
        if other != text[-1]:
            try:
                assert digest(text[:-1] + other) != found
            except RefreshTokenInvalid:
                continue
