"""The fixture that the executor's own tests need, for an rclpy without the rest of ROS 2."""

from __future__ import annotations

import random

import pytest


@pytest.fixture
def domain() -> int:
    """A ROS domain that another test is unlikely to have."""
    return random.randint(1, 100)  # noqa: S311 - to be unlikely, not unguessable
