"""Placeholder until the nodes land in this session."""
from launch import LaunchDescription


def generate_launch_description():
    return LaunchDescription()
