"""Benchmarks that need ROS 2."""
