"""Finding: one thing that was looked at on a machine."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Level = Literal["OK", "WARN", "FAIL"]


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at.

    Attributes:
        topic: What it is.
        level: OK; WARN: detection runs, but not as well as it could; FAIL: it does not run.
        found: What there is.
        cost: What a level other than OK costs.
        remedy: The command that mends it, or what to do.
    """

    topic: str
    level: Level
    found: str
    cost: str = ""
    remedy: str = ""

    def __str__(self) -> str:
        lines = [f"{self.level:<5} {self.topic:<18} {self.found}"]
        lines += [
            f"{'':<24} {name:<6} {text}" for name, text in (("costs", self.cost), ("mend", self.remedy)) if text
        ]
        return "\n".join(lines)


def verdict(topic: str, fine: bool, found: str, cost: str, remedy: str) -> Finding:
    """Return OK where something is fine, else WARN with what it costs and what mends it."""
    return Finding(topic, "OK", found) if fine else Finding(topic, "WARN", found, cost, remedy)
