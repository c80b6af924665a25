"""scripts/browser: what it finds, and what it says where it can install nothing."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "scripts" / "browser"


@pytest.fixture
def bare_path(tmp_path):
    """A folder for PATH that has what the script needs, and neither apt nor a browser."""
    for name in ("bash", "dirname", "id"):
        (tmp_path / name).symlink_to(shutil.which(name))
    return tmp_path


def run(path: Path) -> subprocess.CompletedProcess[str]:
    """Run the script with a PATH of one folder."""
    command = ["bash", str(SCRIPT), "--chromium"]
    return subprocess.run(command, env={"PATH": str(path)}, capture_output=True, text=True, check=False)


def test_without_a_browser_and_apt_it_fails(bare_path):
    ended = run(bare_path)
    assert (ended.returncode, ended.stderr.count("\n")) == (1, 1)
    assert "found no Chromium" in ended.stderr


def test_an_installed_browser_is_used(bare_path):
    (bare_path / "chromium-browser").symlink_to(shutil.which("true"))
    ended = run(bare_path)
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "", "")
