"""The detector node: from an image topic to a topic of detections."""
