"""The private verb `ros2 launch`: signals."""

from __future__ import annotations

import os
import signal
import sys
from importlib.metadata import entry_points
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[2] / "scripts" / "ros2launch"
VERBS = [entry.value for entry in entry_points(group="ros2cli.command") if entry.name == "launch"]
LAUNCH_FILE = """
<launch>
  <executable name="first" cmd="{python} {listener}" output="screen"/>
  <executable name="second" cmd="{python} {listener}" output="screen"/>
</launch>
"""

pytestmark = [
    pytest.mark.ros,
    pytest.mark.skipif(VERBS != ["ros2launch_small:LaunchCommand"], reason="this ROS 2 has its own `ros2 launch`"),
]


def test_sigterm_ends_the_launch_and_its_nodes(start_process, tmp_path):
    listener = Path(__file__).parents[1] / "support" / "listener.py"
    path = tmp_path / "two.launch.xml"
    path.write_text(LAUNCH_FILE.format(python=sys.executable, listener=listener))
    ros2 = [sys.executable, "-c", "import sys; from ros2cli.cli import main; sys.exit(main())"]
    search = os.pathsep.join([str(SOURCE), os.environ["PYTHONPATH"]])
    process = start_process([*ros2, "launch", str(path)], PYTHONPATH=search)
    for name in ("first-1", "second-2"):
        process.wait_until_it_says(f"[{name}] listening")
    os.kill(process.pid, signal.SIGTERM)
    assert process.wait() == 0
    for name in ("first-1", "second-2"):
        assert f"[{name}]: process has finished cleanly" in process.log
    assert "Traceback" not in process.log
