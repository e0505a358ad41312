"""What the antifraud rules may look at, worked out of what was observed before a payment.

All are whole numbers. Amounts are hundredths of a unit of whatever currency (`worth_cents`),
rounded up, so that nothing slips below a bound by a fraction.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

import msgspec

from domain.payments.risk import AMOUNT, Window
from messages.money import minor_per_unit

MINUTE_MS = 60_000
CENTS = 100
FEWEST = 3  # completed payments that make a history
SUBJECTS: Mapping[str, str] = {
    "user": "by the payer",
    "card": "with this card",
    "device": "from this browser",
    "network": "from this IP address, or the /64 around it",
}
MEASURES: Mapping[str, str] = {
    "payments": "payments begun, this one included",
    "spent": "hundredths of a unit in these payments, this one included",
    "declined": "earlier ones among them that the provider declined",
}
WINDOWED: Mapping[str, str] = {
    f"{subject}_{measure}": f"{what} {whose}"
    for subject, whose in SUBJECTS.items()
    for measure, what in MEASURES.items()
}
PLAIN: Mapping[str, str] = {
    AMOUNT: "hundredths of a unit",
    "amount_to_median_pct": "of the median of the payer's last completed payments, if there are 3",
    "amount_to_most_pct": "of the largest of the payer's last completed payments, if there are 3",
    "account_age_minutes": "since registration",
    "email_unverified": "1 if the payer has an address and never showed to read it",
    "country_mismatch": "1 if the bill goes to another country than where the payer's time zone is",
    "card_country_mismatch": "1 if the card is of another country than the bill, or, without a "
    "bill, than where the payer's time zone is",
    "card_users": "users who paid with this card, the payer included",
    "device_users": "users who paid from this browser, the payer included",
    "linked_users": "others who share a card or browser with the payer, or with one who does",
    "linked_denied": "those among them who were denied a payment",
    "linked_disputed": "those among them with a payment that their bank took back",
    "user_disputes": "payments of the payer's that their bank took back, or wants to",
    "card_disputes": "payments with this card that the bank took back, or wants to",
}
KNOWN: Mapping[str, str] = {**PLAIN, **WINDOWED}
WINDOWS = tuple(Window)


class Asked(msgspec.Struct, frozen=True):
    """A payment that somebody wants to begin. What is not known is empty.

    card: what tells it from others.  Countries, of the bill and of the card's bank: ISO 3166.
    """

    payment_id: str
    payer_id: str
    amount_minor: int
    currency: str
    method: str
    card: str = ""
    billing_country: str = ""
    card_country: str = ""


class Seen(msgspec.Struct, frozen=True):
    """Earlier payments of one payer, card, browser or network: in 10 minutes, an hour, a day."""

    payments: tuple[int, int, int]
    spent: tuple[int, int, int]
    declined: tuple[int, int, int]


class Account(msgspec.Struct, frozen=True):
    """The payer's."""

    created_at_ms: int
    has_email: bool
    email_verified: bool
    time_zone: str


class History(msgspec.Struct, frozen=True):
    """What was there before a payment. None: there is nothing that it could be known of.

    others: users beside the payer, by the kind of what they share.
    """

    seen: dict[str, Seen]
    completed: int
    median_cents: int | None
    most_cents: int | None
    account: Account | None
    others: dict[str, int]
    linked: int
    linked_denied: int
    linked_disputed: int
    user_disputes: int
    card_disputes: int | None


def worth_cents(amount_minor: int, currency: str) -> int:
    """An amount in hundredths of a unit, rounded up; every currency's unit counts the same.

    Recorded exchange rates belong here as soon as they are to count.
    """
    return -(-amount_minor * CENTS // minor_per_unit(currency))


def features(
    asked: Asked, history: History, now_ms: int, countries: Collection[str] = ()
) -> dict[str, int]:
    """All that is known. `countries`: where the payer's time zone is; empty if anywhere."""
    worth = worth_cents(asked.amount_minor, asked.currency)
    found = {AMOUNT: worth}
    for subject, seen in history.seen.items():
        for index, window in enumerate(WINDOWS):
            found[f"{subject}_payments_{window}"] = seen.payments[index] + 1
            found[f"{subject}_spent_{window}"] = seen.spent[index] + worth
            found[f"{subject}_declined_{window}"] = seen.declined[index]
    if history.completed >= FEWEST and history.median_cents and history.most_cents:
        found["amount_to_median_pct"] = worth * 100 // history.median_cents
        found["amount_to_most_pct"] = worth * 100 // history.most_cents
    return {
        **found,
        **_of_countries(asked, countries),
        **_of_account(history.account, now_ms),
        **_of_others(history),
    }


def _of_countries(asked: Asked, countries: Collection[str]) -> dict[str, int]:
    found = {}
    if asked.billing_country and countries:
        found["country_mismatch"] = int(asked.billing_country not in countries)
    expected = {asked.billing_country} if asked.billing_country else countries
    if asked.card_country and expected:
        found["card_country_mismatch"] = int(asked.card_country not in expected)
    return found


def _of_account(account: Account | None, now_ms: int) -> dict[str, int]:
    if account is None:
        return {}
    found = {"account_age_minutes": max(0, now_ms - account.created_at_ms) // MINUTE_MS}
    if account.has_email:
        found["email_unverified"] = int(not account.email_verified)
    return found


def _of_others(history: History) -> dict[str, int]:
    found = {f"{kind}_users": others + 1 for kind, others in history.others.items()}
    if history.card_disputes is not None:
        found["card_disputes"] = history.card_disputes
    return {
        **found,
        "linked_users": history.linked,
        "linked_denied": history.linked_denied,
        "linked_disputed": history.linked_disputed,
        "user_disputes": history.user_disputes,
    }
