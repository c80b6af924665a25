"""Benchmarks of the detector and the node, and the reports of their figures."""

from trt_ssd_ros.errors import explain_imports

explain_imports()
