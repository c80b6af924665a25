"""doctor on shells that are set up for a graph over a network, with real sockets."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from trt_ssd_ros.tools.doctor.machine import Finding, Machine
from trt_ssd_ros.tools.doctor.network import network_findings


def findings(**environment: str) -> list[Finding]:
    """Findings in a shell with these environment variables."""
    return list(network_findings(Machine(Path("/"), environment)))


def test_a_shell_without_networks_has_no_findings():
    assert findings() == findings(RMW_IMPLEMENTATION="rmw_cyclonedds_cpp", ROS_DISCOVERY_SERVER=";") == []


def test_a_zenoh_router_that_answers_is_fine():
    with socket.create_server(("127.0.0.1", 0)) as router:
        port = router.getsockname()[1]
        override = f'connect/endpoints=["tcp/127.0.0.1:9","tcp/127.0.0.1:{port}"]'
        [finding] = findings(RMW_IMPLEMENTATION="rmw_zenoh_cpp", ZENOH_CONFIG_OVERRIDE=override)
    assert (finding.topic, finding.level) == ("Zenoh router", "OK")
    assert f"tcp/127.0.0.1:{port} answers" in finding.found


def test_without_a_zenoh_router_no_node_finds_another():
    override = 'connect/endpoints=["tcp/127.0.0.1:9"];mode="peer"'
    [finding] = findings(RMW_IMPLEMENTATION="rmw_zenoh_cpp", ZENOH_CONFIG_OVERRIDE=override)
    assert (finding.level, finding.cost) == ("WARN", "nodes find no other node")
    assert "tcp/127.0.0.1:9 (" in finding.found
    assert "rmw_zenohd" in finding.remedy


@pytest.mark.parametrize(
    "address", ["127.0.0.1:11811", "127.0.0.1", "localhost:14520", "UDPv4:[127.0.0.1]:5", "TCPv4:[127.0.0.1]:5"]
)
def test_the_address_of_a_discovery_server_is_shown(address):
    [finding] = findings(ROS_DISCOVERY_SERVER=f";{address}")
    assert (finding.topic, finding.level) == ("discovery server", "OK")
    assert finding.found.startswith(address)


@pytest.mark.parametrize("address", ["127.0.0.1:70000", "127.0.0.1:99999999999999999999", "a..b:7447"])
def test_a_wrong_address_of_a_zenoh_router_is_named(address):
    override = f'connect/endpoints=["tcp/{address}"]'
    [finding] = findings(RMW_IMPLEMENTATION="rmw_zenoh_cpp", ZENOH_CONFIG_OVERRIDE=override)
    assert (finding.level, finding.cost) == ("WARN", "nodes find no other node")
    assert f"tcp/{address} (" in finding.found


@pytest.mark.parametrize("address", ["no-such-host.invalid:11811", "127.0.0.1:99999999999999999999", "a..b"])
def test_a_wrong_address_of_a_discovery_server_is_named(address):
    [finding] = findings(ROS_DISCOVERY_SERVER=address, RMW_IMPLEMENTATION="rmw_fastrtps_cpp")
    assert (finding.level, address in finding.found) == ("WARN", True)


def test_a_middleware_that_ignores_the_discovery_server_is_named():
    [finding] = findings(ROS_DISCOVERY_SERVER="127.0.0.1:11811", RMW_IMPLEMENTATION="rmw_cyclonedds_cpp")
    assert finding.level == "WARN"
    assert "rmw_cyclonedds_cpp ignores it" in finding.cost
