"""Command-line tools that need no ROS."""

from trt_ssd_ros.errors import explain_imports

explain_imports()
