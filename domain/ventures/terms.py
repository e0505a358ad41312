"""Which terms a round may have."""

from __future__ import annotations

import re

from msgspec.structs import replace

from domain.text import clean_line, clean_text
from domain.ventures.policy import VenturePolicy
from messages.keys import is_id
from messages.money import minor_per_unit
from messages.ventures.errors import BadVenture
from messages.ventures.ventures import DraftVenture, TierName, TierTerms

_BENEFIT_ID = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,38}[a-z0-9])?", re.ASCII)
MAX_MINOR = 2**53 - 1


def checked(policy: VenturePolicy, terms: DraftVenture, now_ms: int) -> DraftVenture:
    """The terms with their texts in normal form. Raises BadVenture."""
    terms = replace(
        terms,
        name=clean_line(terms.name, policy.max_name) or "",
        pitch=clean_text(terms.pitch, policy.max_pitch) or "",
    )
    _check(
        {
            "artist_user_id": is_id(terms.artist_user_id),
            "song_id": not terms.song_id or is_id(terms.song_id),
            "name": len(terms.name) >= policy.min_name,
            "pitch": bool(terms.pitch),
            "currency": terms.currency in policy.currencies,
            "deadline_ms": policy.min_round_ms <= terms.deadline_ms - now_ms <= policy.max_round_ms,
        }
    )
    most = min(MAX_MINOR, policy.max_cap_units * minor_per_unit(terms.currency))
    _check(
        {
            "cap_minor": 0 < terms.cap_minor <= most,
            "goal_minor": 0 < terms.goal_minor <= terms.cap_minor,
            "most_minor": 0 < terms.most_minor <= terms.cap_minor,
            "least_minor": 0 < terms.least_minor <= terms.most_minor,
        }
    )
    return replace(terms, tiers=_tiers(policy, terms))


def _tiers(policy: VenturePolicy, terms: DraftVenture) -> tuple[TierTerms, ...]:
    ranks = [list(TierName).index(tier.tier) for tier in terms.tiers]
    floors = [tier.from_minor for tier in terms.tiers]
    rises = ranks == sorted(set(ranks)) and floors == sorted(set(floors))
    within = all(0 < floor <= terms.most_minor for floor in floors)
    _check({"tiers": rises and within})
    return tuple(_tier(policy, tier) for tier in terms.tiers)


def _tier(policy: VenturePolicy, tier: TierTerms) -> TierTerms:
    ids = [benefit.benefit_id for benefit in tier.benefits]
    texts = [clean_line(benefit.text, policy.max_benefit_text) for benefit in tier.benefits]
    named = all(_BENEFIT_ID.fullmatch(one) for one in ids) and len(ids) == len(set(ids))
    _check({"benefits": named and all(texts) and len(ids) <= policy.max_benefits})
    benefits = tuple(
        replace(benefit, text=text)
        for benefit, text in zip(tier.benefits, texts, strict=True)
        if text is not None
    )
    return replace(tier, benefits=benefits)


def _check(rules: dict[str, bool]) -> None:
    for field, holds in rules.items():
        if not holds:
            raise BadVenture(f"the {field} is out of range", field=field)
