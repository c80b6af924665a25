"""Nodes that find each other through a Fast DDS discovery server, as docs/fleet.md describes."""

from __future__ import annotations

import os
import socket
import sys
from contextlib import closing

import pytest

from trt_ssd_ros.ros.transport import PROFILE_VARIABLES

pytestmark = [
    pytest.mark.ros,
    pytest.mark.skipif(
        os.environ.get("RMW_IMPLEMENTATION", "rmw_fastrtps_cpp") != "rmw_fastrtps_cpp", reason="needs Fast DDS"
    ),
]
SERVER_PROFILE = """<?xml version="1.0" encoding="UTF-8"?>
<dds xmlns="http://www.eprosima.com/XMLSchemas/fastRTPS_Profiles"><profiles>
  <participant profile_name="server" is_default_profile="true"><rtps>
    <prefix>44.53.00.5f.45.50.52.4f.53.49.4d.41</prefix>
    <builtin>
      <discovery_config><discoveryProtocol>SERVER</discoveryProtocol></discovery_config>
      <metatrafficUnicastLocatorList><locator><udpv4>
        <address>127.0.0.1</address><port>{port}</port>
      </udpv4></locator></metatrafficUnicastLocatorList>
    </builtin>
  </rtps></participant>
</profiles></dds>
"""
"""Participant that is server 0 of ROS_DISCOVERY_SERVER, as `fastdds discovery` starts one."""
SERVER = """
import rclpy
from rclpy.executors import ExternalShutdownException
rclpy.init()
node = rclpy.create_node("discovery_server")
print("the server is up", flush=True)
try:
    rclpy.spin(node)
except (KeyboardInterrupt, ExternalShutdownException):
    pass
"""


def free_port() -> int:
    """A UDP port that nothing uses."""
    with closing(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def test_the_detector_gets_images_through_a_discovery_server_and_none_without_it(
    start_process, small_picture, tmp_path
):
    port = free_port()
    profile = tmp_path / "server.xml"
    profile.write_text(SERVER_PROFILE.format(port=port))
    client = {"ROS_DISCOVERY_SERVER": f"127.0.0.1:{port}"}
    run = [sys.executable, "-m"]
    detector = start_process([*run, "trt_ssd_ros.node.detector_node"], **client)
    camera = ["trt_ssd_ros.camera.camera_node", "--ros-args", "-p", f"source:={small_picture}"]
    start_process([*run, *camera, "-r", "image_raw:=image"], **client)
    detector.wait_until_it_says("waiting for images")
    detector.wait_until_it_says("no publisher")
    settings = {name: str(profile) for name in PROFILE_VARIABLES}
    server = start_process([sys.executable, "-c", SERVER], ROS_AUTOMATIC_DISCOVERY_RANGE="SUBNET", **settings)
    server.wait_until_it_says("the server is up")
    detector.wait_until_it_says("first image on /image")
