"""Files: written as a whole or not at all, locked among processes, and the folder of the package's own."""

from __future__ import annotations

import fcntl
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

PACKAGE = "trt_ssd_ros"
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


def share_folder() -> Path:
    """Return the folder that holds config/, engines/, launch/ and photos/.

    It is looked for where colcon installs it ($AMENT_PREFIX_PATH), in the source tree, and where pip installs it.

    Raises:
        RuntimeError: It is in none of these places.
    """
    places = list(_places())
    for place in places:
        if (place / "config" / "models").is_dir():
            return place
    raise RuntimeError(f"the files of {PACKAGE} are in none of {', '.join(map(str, places))}: install it again")


def _places() -> Iterator[Path]:
    prefixes = filter(None, os.environ.get("AMENT_PREFIX_PATH", "").split(os.pathsep))
    yield from (Path(prefix) / "share" / PACKAGE for prefix in prefixes)
    yield Path(__file__).resolve().parents[1]
    yield Path(sys.prefix) / "share" / PACKAGE
