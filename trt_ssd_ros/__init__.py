"""SSD object detection for ROS 2, on TensorRT or ONNX Runtime."""

import os

# ONNX Runtime reads this at import. Its official builds send telemetry to Microsoft; see docs/security.md.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

# OpenCV reads this at import; its default is 2000. Its threads spin for a while after each parallel call, which
# doubles a node's processor time without a gain; see docs/engines.md.
os.environ.setdefault("OPENCV_THREAD_POOL_ACTIVE_WAIT_WORKER", "0")
