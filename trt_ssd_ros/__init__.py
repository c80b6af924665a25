"""SSD object detection for ROS 2, on TensorRT or ONNX Runtime."""

import os

# ONNX Runtime reads this when it is imported. Its official builds would tell Microsoft what runs where; see
# docs/security.md.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

# OpenCV reads this when it is imported. Its threads would spin for a while after each call that they share, which
# doubles the processor time of a node and gains it nothing; see docs/engines.md. OpenCV's own value is 2000.
os.environ.setdefault("OPENCV_THREAD_POOL_ACTIVE_WAIT_WORKER", "0")
