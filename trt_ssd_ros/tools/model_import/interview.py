"""What the user says of a network, is asked, and is told."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

Ask = Callable[[str, str, Sequence[str]], str]
"""Asks for something that the graph does not tell: the flag that says it, a question, and the choices if any."""


@dataclass
class Interview:
    """What the user stated comes first, then what the graph says, then the family; else the user is asked.

    Attributes:
        stated: What the user stated, by flag.
        ask: How to ask for more.
        notes: What was assumed, for people.
    """

    stated: Mapping[str, Any]
    ask: Ask
    notes: list[str] = field(default_factory=list)

    def note(self, text: str) -> None:
        """Say what was assumed."""
        self.notes.append(text)
