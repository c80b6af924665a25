#!/usr/bin/env bash
# Run a command with ROS 2 and this package.
set -e
# shellcheck source=/dev/null
source /ws/install/setup.bash  # also sources the ROS 2 that it was built with
exec "$@"
