"""Which countries a time zone is in, by the time zone database's own table (`zone1970.tab`)."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from importlib.resources import files


def countries_of(time_zone: str) -> frozenset[str]:
    """ISO 3166 codes; none for a zone that is nowhere, as UTC, or has only its old name there."""
    return _table().get(time_zone, frozenset())


@lru_cache(maxsize=1)
def _table() -> Mapping[str, frozenset[str]]:
    """The tables zone.tab (a country's own zones) and zone1970.tab (which share one clock)."""
    found: dict[str, frozenset[str]] = {}
    for name in ("zone.tab", "zone1970.tab"):
        text = files("tzdata").joinpath("zoneinfo", name).read_text("utf-8")
        for line in text.splitlines():
            if line and not line.startswith("#"):
                countries, _, zone = line.split("\t")[:3]
                found[zone] = found.get(zone, frozenset()) | frozenset(countries.split(","))
    return found
