"""SSD object detection for ROS 2, on TensorRT or ONNX Runtime."""
