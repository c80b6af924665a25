"""Nodes that find each other through a Fast DDS discovery server, as docs/fleet.md describes."""

from __future__ import annotations

import socket
import sys
from contextlib import closing

import pytest
from discovery_server import discovery_server
from network import needs_fast_dds

pytestmark = [pytest.mark.ros, needs_fast_dds]


def free_port() -> int:
    """A UDP port that nothing uses."""
    with closing(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def test_the_detector_gets_images_through_a_discovery_server_and_none_without_it(
    start_process, small_picture, tmp_path
):
    port = free_port()
    client = {"ROS_DISCOVERY_SERVER": f"127.0.0.1:{port}"}
    run = [sys.executable, "-m"]
    detector = start_process([*run, "trt_ssd_ros.node.detector_node"], **client)
    camera = ["trt_ssd_ros.camera.camera_node", "--ros-args", "-p", f"source:={small_picture}"]
    start_process([*run, *camera, "-r", "image_raw:=image"], **client)
    detector.wait_until_it_says("waiting for images")
    detector.wait_until_it_says("no publisher")
    command, environment = discovery_server(tmp_path, "127.0.0.1", port)
    server = start_process(command, **environment)
    server.wait_until_it_says("the server is up")
    detector.wait_until_it_says("first image on /image")
