"""Image sources, and conversion of ROS image messages to pixels."""
