"""Machine: files, environment and programs, only read, and the findings that checks make of them."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

Level = Literal["OK", "WARN", "FAIL"]


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at.

    Attributes:
        topic: Name of the checked thing.
        level: OK; WARN: detection runs, but not as well as it could; FAIL: it does not run.
        found: State of the checked thing.
        cost: Consequence of a level other than OK.
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


EXCEPTION = re.compile(r"^[\w.]+(Error|Exception): ")
PATIENCE = 60.0
"""Seconds that a command may take."""


@dataclass(frozen=True)
class Answer:
    """Answer of a command: its output, or the last line of its errors if it failed."""

    worked: bool
    text: str


@dataclass(frozen=True)
class Machine:
    """A machine's files, environment and programs.

    Attributes:
        root: The folder that its absolute paths begin in.
        environment: Its environment variables.
    """

    root: Path = Path("/")
    environment: Mapping[str, str] = field(default_factory=lambda: os.environ)

    def read(self, path: str) -> str | None:
        """Return a file's text without white space and NULs at its ends; None where it cannot be read."""
        try:
            return (self.root / path.lstrip("/")).read_text(errors="replace").strip("\0 \n\t")
        except OSError:
            return None

    def find(self, pattern: str) -> list[str]:
        """Return the absolute paths of the files that match a pattern of them."""
        return sorted(f"/{path.relative_to(self.root)}" for path in self.root.glob(pattern.lstrip("/")))

    def ask(self, *command: str) -> Answer:
        """Run a command; one that does not exist or takes too long has failed."""
        try:
            done = subprocess.run(  # noqa: S603 - commands of ours
                command, env=dict(self.environment), capture_output=True, text=True, timeout=PATIENCE, check=False
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            return Answer(False, str(error))
        if done.returncode == 0:
            return Answer(True, done.stdout.strip())
        return Answer(False, (done.stderr.strip() or f"exit code {done.returncode}").splitlines()[-1])

    def python(self, script: str) -> Answer:
        """Run a script in a Python of its own, which a broken library may take down, and return its last line."""
        answer = self.ask(sys.executable, "-c", script)
        last = (answer.text.splitlines() or [""])[-1]
        return Answer(answer.worked, last if answer.worked else EXCEPTION.sub("", last))

    def version(self, module: str) -> Answer:
        """Import a module and return its version, if it names one."""
        return self.python(f"import {module}; print(getattr({module}, '__version__', 'installed'))")
