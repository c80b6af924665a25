"""Checks of graphs over networks: the Zenoh router, the Fast DDS discovery server."""

from __future__ import annotations

import re
import socket
from collections.abc import Iterator

from trt_ssd_ros.tools.doctor.machine import Finding, Machine, verdict

ZENOH = "rmw_zenoh_cpp"
ROUTER = ("localhost", 7447)
"""Router that a node of rmw_zenoh connects to, unless ZENOH_CONFIG_OVERRIDE names another one."""
LOCATOR = re.compile(r"^(UDP|TCP)v[46]:")
"""Transport before the address of a Fast DDS discovery server."""
DISCOVERY_PORT = 11811
"""Port of a Fast DDS discovery server without a port in its address."""
NO_ADDRESS = (OverflowError, UnicodeError)
"""Errors of `socket` for ports and names that cannot exist."""
PATIENCE = 2.0
"""Longest wait for a router in seconds."""


def network_findings(machine: Machine) -> Iterator[Finding]:
    """Check what the nodes of this shell need to meet those of other machines."""
    middleware = machine.environment.get("RMW_IMPLEMENTATION", "")
    if middleware == ZENOH:
        yield _router(machine.environment.get("ZENOH_CONFIG_OVERRIDE", ""))
    servers = machine.environment.get("ROS_DISCOVERY_SERVER", "")
    if not servers.strip(";"):
        return
    if middleware and "fastrtps" not in middleware:
        cost = f"{middleware} ignores it, and searches other nodes by itself"
        yield Finding(
            "discovery server", "WARN", servers, cost, "unset ROS_DISCOVERY_SERVER, or RMW_IMPLEMENTATION"
        )
    else:
        yield from map(_discovery_server, filter(None, servers.split(";")))


def _router(override: str) -> Finding:
    """Check that a Zenoh router answers; rmw_zenoh does not search other nodes by multicast."""
    named = re.findall(r"tcp/\[?([^\s\"'#?]+?)\]?:(\d+)", override) if "connect/endpoints" in override else []
    addresses = [(host, int(port)) for host, port in named] or [ROUTER]
    found, reachable = [], False
    for host, port in addresses:
        try:
            socket.create_connection((host, port), PATIENCE).close()
        except (OSError, *NO_ADDRESS) as error:
            found.append(f"tcp/{host}:{port} ({error})")
        else:
            found.append(f"tcp/{host}:{port} answers")
            reachable = True
    cost, remedy = (
        "nodes find no other node",
        "ros2 run rmw_zenoh_cpp rmw_zenohd, or correct ZENOH_CONFIG_OVERRIDE",
    )
    return verdict("Zenoh router", reachable, ", ".join(found), cost, remedy)


def _discovery_server(address: str) -> Finding:
    """Check an address in ROS_DISCOVERY_SERVER; the server itself speaks UDP, and answers only participants."""
    host, _, port = (bare := LOCATOR.sub("", address.strip())).rpartition(":")
    if not port.isdecimal():
        host, port = bare, str(DISCOVERY_PORT)
    host = host.strip("[]")
    cost, remedy = "nodes find no other node", "correct ROS_DISCOVERY_SERVER: HOST:PORT, several separated by ;"
    try:
        socket.getaddrinfo(host, int(port), type=socket.SOCK_DGRAM)
    except (OSError, *NO_ADDRESS) as error:
        return Finding("discovery server", "WARN", f"{address} ({error})", cost, remedy)
    return Finding("discovery server", "OK", f"{address}; ros2 topic and ros2 node need ROS_SUPER_CLIENT=TRUE")
