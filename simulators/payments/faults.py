"""What goes wrong, as a plan: `POST /_simulator/faults` with a list of these.

    {"on": "create", "do": "500", "times": 2}             fails before anything happens
    {"on": "create", "do": "lose-answer", "times": 1}     happens, and the connection breaks
    {"on": "capture", "do": "delay", "ms": 3000}          answers late
    {"on": "webhook", "do": "duplicate" | "drop" | "wrong-signature" | "delay" | "reorder"}

`on` is an operation (card, create, confirm, capture, cancel, refund, fetch, list, account,
account-link, transfer, reversal), `webhook` or `any`.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

ACTIONS = frozenset(
    {"500", "lose-answer", "delay", "duplicate", "drop", "wrong-signature", "reorder"}
)


@dataclass
class Fault:
    """One thing that goes wrong, so many times."""

    on: str
    do: str
    times: int = 1
    ms: int = 0


class Faults:
    """The plan: each fault is used up from the first on."""

    def __init__(self) -> None:
        self.plan: list[Fault] = []

    def set(self, plan: list[dict[str, object]]) -> None:
        """Replace the plan. ValueError for what is none."""
        faults = [
            Fault(
                str(one["on"]),
                str(one["do"]),
                int(str(one.get("times", 1))),
                int(str(one.get("ms", 0))),
            )
            for one in plan
        ]
        if unknown := {fault.do for fault in faults} - ACTIONS:
            raise ValueError(f"no such fault: {unknown}")
        self.plan = faults

    def take(self, operation: str, *actions: str) -> Fault | None:
        """The next fault of an operation that does one of these, used up by one."""
        for fault in self.plan:
            if fault.on in {operation, "any"} and fault.do in actions and fault.times > 0:
                fault.times -= 1
                return fault
        return None

    async def before(self, operation: str) -> bool:
        """Wait if that is the plan; whether the operation fails before anything happens."""
        if late := self.take(operation, "delay"):
            await asyncio.sleep(late.ms / 1_000)
        return self.take(operation, "500") is not None

    def loses_answer(self, operation: str) -> bool:
        """Whether the operation happens and its answer gets lost."""
        return self.take(operation, "lose-answer") is not None
