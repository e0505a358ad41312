"""Profiles, points and reputation: the rules by themselves."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.text import clean_line, clean_text
from domain.users_people import (
    POINTS,
    Stats,
    check_link,
    check_links,
    clean_bio,
    clean_display_name,
    hundredths,
    points_for,
    progress,
    reputation,
    upgraded,
)
from messages.envelope import Event, event_of_fact
from messages.listening import ListeningScored, Tier
from messages.market.issues import SharesBought
from messages.rewards import RewardPaid, StreakExtended
from messages.rewards.claims import PaidClaim
from messages.users import UserRegistered
from messages.users_people import (
    Activity,
    BadBio,
    BadDisplayName,
    BadLink,
    FollowKind,
    UserFollowed,
)
from sagas.user_activity import day_of, deed_of

NOW_MS = 1_790_000_000_000


@given(st.text(max_size=60))
def test_a_cleaned_line_is_its_own_cleaned_form(raw: str) -> None:
    line = clean_line(raw, 50)
    if line is not None:
        assert clean_line(line, 50) == line
        assert len(line) <= 50
        assert line == line.strip()


@given(st.text(alphabet=st.sampled_from("ab \n\té\u0301\r\x00\u202e"), max_size=60))
def test_a_cleaned_text_is_its_own_cleaned_form(raw: str) -> None:
    text = clean_text(raw, 50)
    if text is not None:
        assert clean_text(text, 50) == text
        assert "\n\n\n" not in text
        assert "\x00" not in text


def test_a_bio_keeps_its_lines_and_a_name_has_one() -> None:
    assert clean_bio(" one \r\n\r\n\r\n\r\n two\t three ") == "one\n\ntwo three"
    assert clean_display_name(" Mira \n Sol ") == "Mira Sol"
    assert clean_bio("x" * 500) == "x" * 500
    for raw in ("", " \n ", "x" * 501, "a\u0000b", "a\u2028b"):
        with pytest.raises(BadBio):
            clean_bio(raw)
    for raw in ("", "x" * 51, "\u200b"):
        with pytest.raises(BadDisplayName):
            clean_display_name(raw)


GOOD_LINKS = [
    "https://example.org",
    "https://example.org/",
    "https://a.b-c.example.co.uk:8443/path?x=1&y=%20#part",
    "https://xn--bcher-kva.example/a_b~c",
]
BAD_LINKS = [
    "",
    "http://example.org",
    "javascript:alert(1)",
    "https://user:pw@example.org/",
    "https://user@example.org/",
    "https://localhost/",
    "https://127.0.0.1/",
    "https://[::1]/",
    "https://example.org/\n",
    "https://example.org/ x",
    'https://example.org/"><script>',
    "https://-a.example",
    "https://bücher.example",
    "https://example.org\\@evil.example",
    "https://example.org/" + "x" * 190,
]


def test_links_are_https_with_a_host_name_and_nothing_that_could_be_read_otherwise() -> None:
    for link in GOOD_LINKS:
        assert check_link(link) == link
    for link in BAD_LINKS:
        with pytest.raises(BadLink):
            check_link(link)
    assert check_links([GOOD_LINKS[0]] * 9) == (GOOD_LINKS[0],)
    with pytest.raises(BadLink):
        check_links([f"https://example.org/{n}" for n in range(6)])


@given(st.sampled_from(list(Activity)), st.lists(st.integers(1, 30), max_size=12))
def test_points_of_a_day_do_not_depend_on_how_its_events_are_cut(
    kind: Activity, parts: list[int]
) -> None:
    done = given_points = 0
    for part in parts:
        points = points_for(kind, done, part)
        assert points >= 0
        done += part
        given_points += points
    assert given_points == points_for(kind, 0, done)
    worth = POINTS.worth(kind)
    assert given_points == min(worth.daily, worth.each * done)


def test_what_is_only_counted_gives_nothing() -> None:
    for kind in (Activity.PLAY, Activity.LISTEN, Activity.REGISTRATION):
        assert points_for(kind, 0, 1_000) == 0


counts = st.integers(0, 10**6)


@given(st.integers(0, 10**12), counts, counts, counts)
def test_reputation_is_the_formula_in_exact_numbers(
    played_ms: int, investments: int, rewards: int, longest: int
) -> None:
    stats = Stats(
        played_ms=played_ms, investments=investments, rewards=rewards, longest_streak=longest
    )
    hours = Fraction(played_ms, 3_600_000)
    tenth = Fraction(1, 10)
    wanted = min(
        Fraction(100),
        tenth * hours + 5 * tenth * investments + 2 * tenth * rewards + 3 * tenth * longest,
    )
    assert reputation(stats) == wanted
    assert hundredths(wanted) <= 100 * wanted < hundredths(wanted) + 1


def test_reputation_by_hand() -> None:
    stats = Stats(played_ms=36_000_000, investments=3, rewards=7, longest_streak=10)
    assert reputation(stats) == 1 + Fraction(3, 2) + Fraction(7, 5) + 3
    assert hundredths(reputation(stats)) == 690
    assert reputation(Stats(rewards=501)) == 100
    assert reputation(Stats(rewards=499)) == Fraction(499, 5)


@pytest.mark.parametrize(
    ("points", "tier", "following", "missing"),
    [
        (0, Tier.FREE, Tier.PREMIUM, 500), (499, Tier.FREE, Tier.PREMIUM, 1),
        (500, Tier.PREMIUM, Tier.VIP, 500), (999, Tier.PREMIUM, Tier.VIP, 1),
        (1_000, Tier.VIP, None, 0), (5_000, Tier.VIP, None, 0),
    ],
)  # fmt: skip
def test_progress_to_the_next_tier(
    points: int, tier: Tier, following: Tier | None, missing: int
) -> None:
    found = progress(points)
    assert (found.tier, found.next_tier, found.missing) == (tier, following, missing)


def test_an_upgrade_is_told_once_where_the_tier_changes() -> None:
    assert upgraded(499, 500) is Tier.PREMIUM
    assert upgraded(0, 1_000) is Tier.VIP
    assert upgraded(500, 501) is None
    assert upgraded(500, 499) is None


def event(stream: str, fact: object) -> Event:
    return event_of_fact(
        fact, event_id="e", stream=stream, entity_id="u", sequence=1, at_ms=NOW_MS, channels=()  # type: ignore[arg-type]
    )  # fmt: skip


def scored(eligible: bool) -> ListeningScored:
    return ListeningScored(
        session_id="s", user_id="u", device_id="d", song_id="o", artist_id="a", pool_id="p",
        tier=Tier.FREE, boost_bps=10_000, time_zone="UTC", ended_at_ms=NOW_MS, played_ms=40_000,
        eligible=eligible, score_bps=0, reasons=(), policy_version=1,
    )  # fmt: skip


def test_what_events_say_that_a_user_did() -> None:
    day = day_of(NOW_MS)
    assert day == 739_880, "2026-09-21"
    paid = tuple(PaidClaim(str(n), 1_000, 5) for n in range(3))
    said = [
        ("users", UserRegistered("u", "mira", "en", "UTC", NOW_MS), (Activity.REGISTRATION, 1, 0)),
        ("users", UserFollowed("u", FollowKind.USER, "v", True, NOW_MS), (Activity.FOLLOW, 1, 0)),
        ("users", UserFollowed("u", FollowKind.USER, "v", False, NOW_MS), None),
        ("listening", scored(True), (Activity.LISTEN, 1, 40_000)),
        ("listening", scored(False), None),
        (
            "rewards",
            RewardPaid("p", "u", 15, 1, 1, False, 1, NOW_MS, "y", paid),
            (Activity.REWARD, 3, 15),
        ),
        ("rewards", RewardPaid("p", "u", 15, 1, 1, False, 1, NOW_MS), (Activity.REWARD, 1, 15)),
        ("rewards", StreakExtended("u", 4, 9, 1, 0, 0, 0, NOW_MS), (Activity.STREAK, 1, 9)),
        (
            "market",
            SharesBought("i", "b", "u", "USD", 7, 100, 700, 7, NOW_MS),
            (Activity.INVESTMENT, 1, 7),
        ),
    ]
    for stream, fact, wanted in said:
        deed = deed_of(event(stream, fact))
        if wanted is None:
            assert deed is None
            continue
        assert deed is not None
        assert (deed.user_id, deed.day) == ("u", day)
        assert (deed.kind, deed.count, deed.amount) == wanted
    assert deed_of(Event("e", "rewards", "PoolDrawn", "p", 1, 1, (), "{}")) is None
