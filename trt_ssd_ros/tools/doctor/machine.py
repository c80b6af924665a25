"""Machine: read-only access to files, environment and programs; Finding: result of a check."""

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
    """Result of one check.

    Attributes:
        topic: Name of the checked item.
        level: OK; WARN: detection runs, but not as well as it could; FAIL: detection does not run.
        found: State of the checked item.
        cost: Impact of a level other than OK.
        remedy: Command or action that fixes the item.
    """

    topic: str
    level: Level
    found: str
    cost: str = ""
    remedy: str = ""

    def __str__(self) -> str:
        lines = [f"{self.level:<5} {self.topic:<18} {self.found}"]
        lines += [
            f"{'':<24} {name:<6} {text}" for name, text in (("impact", self.cost), ("fix", self.remedy)) if text
        ]
        return "\n".join(lines)


def verdict(topic: str, fine: bool, found: str, cost: str, remedy: str) -> Finding:
    """Return an OK finding if `fine`, else a WARN finding with cost and remedy."""
    return Finding(topic, "OK", found) if fine else Finding(topic, "WARN", found, cost, remedy)


def optional(topic: str, there: bool, found: str, hint: str) -> Finding:
    """Return an OK finding; without a part that only some users need, add what it is for and how to get it."""
    return Finding(topic, "OK", found if there else f"{found}; {hint}")


EXCEPTION = re.compile(r"^[\w.]+(Error|Exception): ")
TIMEOUT = 60.0
"""Time limit of a command, in seconds."""


@dataclass(frozen=True)
class CommandResult:
    """Output of a command, or the last line of its errors if it failed."""

    succeeded: bool
    text: str


@dataclass(frozen=True)
class Machine:
    """A machine's files, environment and programs.

    Attributes:
        root: Folder that stands for /.
        environment: Environment variables.
    """

    root: Path = Path("/")
    environment: Mapping[str, str] = field(default_factory=lambda: os.environ)

    def read(self, path: str) -> str | None:
        """Return a file's text, stripped of white space and NULs; None if the file cannot be read."""
        try:
            return (self.root / path.lstrip("/")).read_text(errors="replace").strip("\0 \n\t")
        except OSError:
            return None

    def find(self, pattern: str) -> list[str]:
        """Return the absolute paths of the files that match a glob pattern."""
        return sorted(f"/{path.relative_to(self.root)}" for path in self.root.glob(pattern.lstrip("/")))

    def run(self, *command: str) -> CommandResult:
        """Run a command; a missing command or a timeout counts as failure."""
        try:
            done = subprocess.run(  # noqa: S603 - commands of ours
                command, env=dict(self.environment), capture_output=True, text=True, timeout=TIMEOUT, check=False
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            return CommandResult(False, str(error))
        if done.returncode == 0:
            return CommandResult(True, done.stdout.strip())
        return CommandResult(False, (done.stderr.strip() or f"exit code {done.returncode}").splitlines()[-1])

    def python(self, script: str) -> CommandResult:
        """Run a script in a separate Python, which a broken library may crash, and return its last line."""
        answer = self.run(sys.executable, "-c", script)
        last = (answer.text.splitlines() or [""])[-1]
        return CommandResult(answer.succeeded, last if answer.succeeded else EXCEPTION.sub("", last))

    def version(self, module: str) -> CommandResult:
        """Import a module and return its version, or "installed" if it has none."""
        return self.python(f"import {module}; print(getattr({module}, '__version__', 'installed'))")
