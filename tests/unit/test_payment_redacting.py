"""What of a provider's words is kept."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.payments.redacting import KEPT, redact, redact_text

SECRETS = ("ana@example.org", "4242424242424242", "4000 0027 6000 3184", "sk_live_abc",
           "pi_1_secret_2", "Ana Lopez", "eyJhbGciOi", "whsec_x")  # fmt: skip
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=20) | st.sampled_from(SECRETS),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(sorted(KEPT)) | st.text(max_size=8) | st.sampled_from(SECRETS), inner
        )
    ),
    max_leaves=20,
)


def digest(text: str) -> str:
    return f"{len(text):02d}"


@given(JSON)
def test_no_secret_gets_through_under_any_name(value: object) -> None:
    kept = json.dumps(redact(value, digest), ensure_ascii=False)
    for secret in SECRETS:
        assert secret not in kept


@pytest.mark.parametrize(
    ("told", "kept"),
    [
        ({"amount": 100, "currency": "usd"}, {"amount": 100, "currency": "usd"}),
        ({"payer": {"email_address": "a@b.c"}}, {"payer": {"email_address": "<string>"}}),
        ({"payment_method": "pm_1"}, {"payment_method": "<digest:04>"}),
        ({"source": {"object": "card", "number": "x"}},
         {"source": {"object": "card", "number": "<string>"}}),
        ({"status": "says ana"}, {"status": "<string>"}),
        ({"height": 3, "ok": True, "no": None}, {"height": "<number>", "ok": True, "no": None}),
        ({"data": list(range(22))}, {"data": [*range(20), "<2 more>"]}),
    ],
)  # fmt: skip
def test_fields(told: object, kept: object) -> None:
    assert redact(told, digest) == kept


def test_words() -> None:
    for plain in ("pi_00000001", "2026-11-27T10:00:00Z", "11111111-2222-4333-8444-555555555555"):
        assert redact_text(plain) == plain
    for secret in SECRETS:
        assert redact_text(secret) == "<string>"
