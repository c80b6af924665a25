"""--version of every command, and the places that state the version."""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from trt_ssd_ros import commands
from trt_ssd_ros.version import version

ROOT = Path(__file__).parents[1]
HAS_ROS = importlib.util.find_spec("rclpy") is not None
ROS_MODULE = re.compile(r"^(?:import|from) rclpy", re.MULTILINE)
COMMANDS = re.findall(r"^def ([a-z]\w+)\(", Path(commands.__file__).read_text(), re.MULTILINE)


def modules_with_options() -> list[str]:
    """Return each module that reads a command line, if the packages that it imports are installed."""
    found = []
    for path in sorted((ROOT / "trt_ssd_ros").rglob("*.py")):
        text = path.read_text()
        if "argparse.ArgumentParser(" in text and (HAS_ROS or not ROS_MODULE.search(text)):
            found.append(".".join(path.relative_to(ROOT).with_suffix("").parts))
    return found


def run(*arguments: str) -> str:
    """Run Python with these arguments and return what it prints on stdout."""
    done = subprocess.run(
        [sys.executable, *arguments],
        env=os.environ | {"PYTHONPATH": f"{ROOT}:{os.environ.get('PYTHONPATH', '')}"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_setup_py_agrees_with_package_xml():
    assert re.search(r'^    version="(.+?)",', (ROOT / "setup.py").read_text(), re.MULTILINE)[1] == version()


def test_setup_py_installs_every_command():
    listed = re.search(r"COMMANDS = \((.*?)\n\)", (ROOT / "setup.py").read_text(), re.DOTALL)[1]
    assert sorted(re.findall(r'"(\w+)"', listed)) == sorted(COMMANDS)


def test_every_executable_prints_the_version_without_ros_or_numpy():
    script = f"""
import sys
from trt_ssd_ros import commands
for command in {COMMANDS}:
    sys.argv = [f"/somewhere/{{command}}", "--version"]
    assert getattr(commands, command)() == 0
assert not {{"numpy", "rclpy"}} & set(sys.modules)
"""
    assert run("-c", script) == "".join(f"{command} (trt_ssd_ros) {version()}\n" for command in COMMANDS)


def test_every_module_with_options_prints_the_version():
    script = f"""
import runpy, sys
sys.argv[1:] = ["--version"]
for module in {modules_with_options()}:
    try:
        runpy.run_module(module, run_name="__main__")
    except SystemExit as end:
        assert end.code == 0
"""
    lines = run("-c", script).splitlines()
    assert len(lines) == len(modules_with_options())
    assert all(re.fullmatch(rf"\w+ \(trt_ssd_ros\) {re.escape(version())}", line) for line in lines)


def test_an_installation_without_a_version_is_refused(monkeypatch, tmp_path):
    share = tmp_path / "share" / "trt_ssd_ros"
    (share / "config" / "models").mkdir(parents=True)
    monkeypatch.setenv("AMENT_PREFIX_PATH", str(tmp_path))
    with pytest.raises(RuntimeError, match=f"found no <version> in {share}/package.xml: reinstall the package"):
        version()
