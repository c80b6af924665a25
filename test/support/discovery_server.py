"""A discovery server of Fast DDS, as `fastdds discovery` starts one; the private ROS 2 has no such command."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path

from trt_ssd_ros.ros.transport import PROFILE_VARIABLES

SERVER_PROFILE = """<?xml version="1.0" encoding="UTF-8"?>
<dds xmlns="http://www.eprosima.com/XMLSchemas/fastRTPS_Profiles"><profiles>
  <participant profile_name="server" is_default_profile="true"><rtps>
    <prefix>44.53.00.5f.45.50.52.4f.53.49.4d.41</prefix>
    <builtin>
      <discovery_config><discoveryProtocol>SERVER</discoveryProtocol></discovery_config>
      <metatrafficUnicastLocatorList><locator><udpv4>
        <address>{address}</address><port>{port}</port>
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


def discovery_server(folder: Path, address: str, port: int) -> tuple[list[str], Mapping[str, str]]:
    """Return the command and the environment of server 0 of ROS_DISCOVERY_SERVER, which says when it is up.

    Args:
        folder: Folder for its profile.
        address: IPv4 address to listen on.
        port: UDP port to listen on.
    """
    profile = folder / "server.xml"
    profile.write_text(SERVER_PROFILE.format(address=address, port=port))
    environment = {name: str(profile) for name in PROFILE_VARIABLES} | {"ROS_AUTOMATIC_DISCOVERY_RANGE": "SUBNET"}
    return [sys.executable, "-c", SERVER], environment
