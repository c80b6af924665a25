"""SSD object detection for ROS 2, on TensorRT or ONNX Runtime."""

import os

# OpenCV reads this when it is imported. Its threads would spin for a while after each call that they share, which
# costs ten times the processor time of copying an image; OpenCV's own value, for the shortest latency, is 2000.
os.environ.setdefault("OPENCV_THREAD_POOL_ACTIVE_WAIT_WORKER", "0")
