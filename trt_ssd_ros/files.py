"""A file is there as a whole, or not at all."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

LONGEST = 200
"""Bytes of a name that are kept: file systems have room for 255."""


def unfinished_path(path: Path) -> Path:
    """Return where a file is written before it takes its name, its folder made; writers see the same suffix."""
    path.parent.mkdir(parents=True, exist_ok=True)
    end = os.fsdecode(os.fsencode(path.name)[-LONGEST:])
    return path.with_name(f".unfinished.{end}")


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """Give the path of a temporary file that takes the place of `path` when all of it was written.

    If the body raises, the temporary file goes and what was at `path` stays.
    """
    unfinished = unfinished_path(path)
    try:
        yield unfinished
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)


def try_lock(descriptor: int) -> bool:
    """Lock an open file or folder until it is closed; tell whether nobody else had it."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
