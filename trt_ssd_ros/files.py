"""Files: atomic writes, bounded reads, locks between processes, and the package's share folder."""

from __future__ import annotations

import fcntl
import os
import secrets
import stat
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

PACKAGE = "trt_ssd_ros"
MAX_NAME_BYTES = 200
"""Bytes of a file name that a temporary name keeps; file systems allow 255 in all."""


def temporary_path(path: Path, token: str = "") -> Path:
    """Return the temporary path for writing `path`, with `token` in its name, and create the folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    return path.with_name(f"{os.fsdecode(os.fsencode(path.name)[:MAX_NAME_BYTES])}{token}.part")


@contextmanager
def atomic_file(path: Path, token: str = "") -> Iterator[Path]:
    """Yield a temporary path that replaces `path` after the body.

    If the body raises, the temporary file is deleted and `path` stays unchanged.

    Args:
        path: File to write; its folder is created.
        token: Part of the temporary name. Without a token, the next run overwrites what a killed run left.
    """
    temporary = temporary_path(path, token)
    try:
        yield temporary
        temporary.replace(path)
    finally:
        with suppress(OSError):
            temporary.unlink()


def write_atomically(path: Path, content: bytes) -> None:
    """Write a whole file or nothing, and flush it to the disk; several processes may write it at once.

    Raises:
        OSError: The file cannot be written.
    """
    with atomic_file(path, f".{secrets.token_hex(8)}") as temporary, temporary.open("xb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def read_file(path: Path, max_bytes: int) -> bytes:
    """Return the content of a regular file.

    Args:
        path: File to read.
        max_bytes: Largest file size in bytes.

    Raises:
        OSError: The file cannot be read.
        ValueError: The file is larger, or is a device or a pipe.
    """
    if not stat.S_ISREG(path.stat().st_mode):
        raise ValueError(f"{path} is not a regular file")
    with path.open("rb") as file:
        content = file.read(max_bytes + 1)
    if len(content) > max_bytes:
        raise ValueError(f"{path} has more than {max_bytes} bytes")
    return content


def numbered_folders(name: str, product: str) -> list[Path]:
    """Return the output folders `name`, `name_2`, ... of earlier runs, then the first one without a product.

    Args:
        name: Default output folder of a tool.
        product: File that each run leaves in its folder.
    """
    folders = [Path(name)]
    while (folders[-1] / product).exists():
        folders.append(Path(f"{name}_{len(folders) + 1}"))
    return folders


def output_folder(given: Path | None, numbered: Sequence[Path], again: bool) -> Path:
    """Return the output folder of a run.

    Args:
        given: Folder that the user named, if any.
        numbered: Folders of `numbered_folders`.
        again: Whether the run continues or replaces an earlier one, by default the newest.
    """
    return given or (numbered[-2:][0] if again else numbered[-1])


def expect_new(product: Path, again: bool, advice: str) -> None:
    """Require that a run has left no product in a folder, unless this run continues or replaces it.

    Raises:
        ValueError: The product exists; the message ends in the advice.
    """
    if product.exists() and not again:
        raise ValueError(f"{product} exists: {advice}")


def try_lock(descriptor: int) -> bool:
    """Lock an open file or folder until it is closed; return False if another process holds the lock."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def share_folder() -> Path:
    """Return the folder that holds config/, engines/, launch/ and photos/.

    It is searched in colcon's install folders ($AMENT_PREFIX_PATH), in the source tree, and where pip installs it.

    Raises:
        RuntimeError: None of these places holds it.
    """
    places = list(_places())
    for place in places:
        if (place / "config" / "models").is_dir():
            return place
    raise RuntimeError(f"found no files of {PACKAGE} in {', '.join(map(str, places))}: reinstall the package")


def _places() -> Iterator[Path]:
    prefixes = filter(None, os.environ.get("AMENT_PREFIX_PATH", "").split(os.pathsep))
    yield from (Path(prefix) / "share" / PACKAGE for prefix in prefixes)
    above = Path(__file__).resolve().parents
    yield above[1]
    # In PREFIX/lib/pythonX.Y/site-packages. sys.prefix would be another for `pip install --user` and Debian's pip.
    yield from (prefix / "share" / PACKAGE for prefix in above[4:5])
    yield above[1] / "share" / PACKAGE  # pip install --target
