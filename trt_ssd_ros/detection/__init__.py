"""The detector: images in, boxes out; no ROS and no GPU."""
