"""Tracking: detections of consecutive images become objects with ids. Knows detection, and no ROS."""
