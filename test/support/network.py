"""What tests of two machines, and tests of Fast DDS alone, need."""

from __future__ import annotations

import os

import pytest

from trt_ssd_ros.bench.two_machines import missing

needs_two_machines = pytest.mark.skipif(bool(missing()), reason=f"two machines: {missing()}")
needs_fast_dds = pytest.mark.skipif(
    os.environ.get("RMW_IMPLEMENTATION", "rmw_fastrtps_cpp") != "rmw_fastrtps_cpp", reason="needs Fast DDS"
)
