"""The naive twin of streaks: a calendar that is walked day by day, with nothing clever."""

from __future__ import annotations

from datetime import date


class NaiveStreak:
    """Told of each day in turn, it knows the streak; weeks are ISO weeks of real dates."""

    def __init__(self) -> None:
        self.days = 0
        self.longest = 0
        self.last: date | None = None
        self.frozen_weeks: set[tuple[int, int]] = set()

    def day_over(self, day: date, *, rewarded: bool) -> None:
        if rewarded:
            self.days += 1
            self.longest = max(self.longest, self.days)
        elif self.days:
            week = day.isocalendar()[:2]
            if week in self.frozen_weeks:
                self.days = 0
            else:
                self.frozen_weeks.add(week)
