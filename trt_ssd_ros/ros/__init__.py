"""The ROS 2 edge: the only code that imports rclpy."""
