"""Command-line tools that need no ROS."""

import sys

from trt_ssd_ros.errors import explain

if sys.argv[:1] == ["-m"]:  # python -m imports this package before the tool, and the tool all that it needs
    sys.excepthook = explain
