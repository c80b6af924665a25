"""`pip install .`: the tools find their model cards and networks outside the source tree."""

from __future__ import annotations

import importlib.metadata
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from zipfile import ZipFile

import pytest

FOLDERS = ("config", "engines", "launch", "photos", "resource", "trt_ssd_ros")
FILES = ("package.xml", "pyproject.toml", "setup.cfg", "setup.py")


def run(folder: Path, *command: str | Path, **environment: str) -> None:
    """Run a command in a folder, without ROS's and this tree's search paths."""
    kept = {name: value for name, value in os.environ.items() if name not in ("AMENT_PREFIX_PATH", "PYTHONPATH")}
    done = subprocess.run(
        command, cwd=folder, env=kept | environment, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


OFFLINE = ("--no-index", "--no-deps")


@pytest.fixture(scope="module")
def wheel(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What `pip install .` builds, from a copy of the source tree: setuptools writes beside its sources."""
    pytest.importorskip("pip")
    if int(importlib.metadata.version("setuptools").partition(".")[0]) < 71:
        pytest.skip("setuptools before 71 needs the package wheel")
    folder = tmp_path_factory.mktemp("sources")
    for name in FOLDERS:
        shutil.copytree(repository / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in FILES:
        shutil.copy(repository / name, folder)
    run(folder, sys.executable, "-m", "pip", "wheel", *OFFLINE, "--no-build-isolation", folder)
    return next(folder.glob("*.whl"))


@pytest.mark.parametrize("option", ["--prefix", "--target"])
def test_an_installed_tool_finds_its_model(option, wheel, repository, tmp_path):
    pip = (sys.executable, "-m", "pip", "install", *OFFLINE, "--ignore-installed")
    run(tmp_path, *pip, option, tmp_path / "installed", wheel)
    [package] = (path.parent for path in (tmp_path / "installed").rglob("trt_ssd_ros/commands.py"))

    photo, output = repository / "photos" / "chelsea.jpg", tmp_path / "output"
    detect = (sys.executable, "-m", "trt_ssd_ros.tools.detect", photo, "--output", output)
    run(tmp_path, *detect, PYTHONPATH=str(package.parent))

    [found] = json.loads((output / "coco.json").read_text())["annotations"]
    assert found["score"] > 0.5
    assert next(tmp_path.glob("installed/**/bin/detect")).is_file()


def test_the_wheel_has_the_files_of_the_page(wheel, repository):
    package = repository / "trt_ssd_ros"
    page = [package / "common.css", *(package / "web" / "page").iterdir()]
    assert {str(path.relative_to(repository)) for path in page} <= set(ZipFile(wheel).namelist())
