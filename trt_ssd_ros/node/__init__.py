"""The detector node: how an image gets from its topic to detections on another."""
