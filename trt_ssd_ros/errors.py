"""one_line: what an error says, for a log."""

from __future__ import annotations


def one_line(error: BaseException) -> str:
    """Return an error's text with every run of white space as one blank."""
    return " ".join(str(error).split())
