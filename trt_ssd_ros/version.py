"""The option --version of every command-line tool, and the version that package.xml states."""

from __future__ import annotations

import argparse
import re
import sys

from trt_ssd_ros.files import PACKAGE, share_folder


def version() -> str:
    """Return the version that the installed package.xml states.

    Raises:
        RuntimeError: package.xml is missing or states no version.
    """
    manifest = share_folder() / "package.xml"
    found = re.search(r"<version>\s*(\S+?)\s*</version>", manifest.read_text()) if manifest.is_file() else None
    if not found:
        raise RuntimeError(f"found no <version> in {manifest}: reinstall the package")
    return found[1]


def version_line(tool: str) -> str:
    """Return what `tool --version` prints."""
    return f"{tool} ({PACKAGE}) {version()}\n"


class _PrintVersion(argparse.Action):
    """Action that reads the version only if asked: without a share folder, the other options must still work."""

    def __call__(self, parser: argparse.ArgumentParser, *_: object, **__: object) -> None:
        sys.stdout.write(version_line(parser.prog))
        parser.exit()


def add_version(parser: argparse.ArgumentParser) -> None:
    """Add --version to a command line."""
    parser.add_argument("--version", action=_PrintVersion, nargs=0, help="print the package's version and exit")
