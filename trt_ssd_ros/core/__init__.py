"""The detector without ROS or a GPU: NumPy, OpenCV and onnx only."""
