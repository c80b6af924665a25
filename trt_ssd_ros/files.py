"""Files: atomic writes, bounded reads, locks among processes, and the folder of the package's files."""

from __future__ import annotations

import fcntl
import os
import secrets
import stat
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

PACKAGE = "trt_ssd_ros"
LONGEST = 200
"""Bytes of a name that are kept: file systems have room for 255."""


def unfinished_path(path: Path, token: str = "") -> Path:
    """Return the temporary name under which a file is written, with `token` in it, and make its folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    return path.with_name(f"{os.fsdecode(os.fsencode(path.name)[:LONGEST])}{token}.part")


@contextmanager
def whole_file(path: Path, token: str = "") -> Iterator[Path]:
    """Give the path of a temporary file that replaces `path` once the body has written it.

    If the body raises, the temporary file is deleted and the old `path` stays.

    Args:
        path: The file; its folder is made.
        token: Part of the temporary name. Without one, a later run overwrites what a killed run has left.
    """
    unfinished = unfinished_path(path, token)
    try:
        yield unfinished
        unfinished.replace(path)
    finally:
        with suppress(OSError):
            unfinished.unlink()


def write_whole(path: Path, content: bytes) -> None:
    """Write a file that several processes may write at once, all of it or nothing, and flush it to the disk.

    Raises:
        OSError: The file cannot be written.
    """
    with whole_file(path, f".{secrets.token_hex(8)}") as unfinished, unfinished.open("xb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def read_file(path: Path, most: int) -> bytes:
    """Return the content of a regular file.

    Args:
        path: The file.
        most: Bytes that it may have.

    Raises:
        OSError: It cannot be read.
        ValueError: It is a device or a pipe, or larger.
    """
    if not stat.S_ISREG(path.stat().st_mode):
        raise ValueError(f"{path} is no regular file")
    with path.open("rb") as file:
        content = file.read(most + 1)
    if len(content) > most:
        raise ValueError(f"{path} has more than {most} bytes")
    return content


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
