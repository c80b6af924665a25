"""Nodes on two machines: two network namespaces, joined by a cable that can be pulled out."""

from __future__ import annotations

import sys

import pytest
from discovery_server import discovery_server
from model_server import ModelServer
from network import needs_fast_dds, needs_two_machines

from trt_ssd_ros.bench.two_machines import CABLE, run, two_machines

pytestmark = [pytest.mark.ros, needs_two_machines, needs_fast_dds]


EVERY_MACHINE = {"ROS_AUTOMATIC_DISCOVERY_RANGE": "SUBNET", "ROS_LOCALHOST_ONLY": "0"}
"""Variables of the environment with which nodes find those of other machines."""


@pytest.fixture
def machines():
    """A robot and a base station."""
    with two_machines() as made:
        yield made


@pytest.fixture
def start_on(start_process):
    """Start a module on a machine: start_on(machine, module, discovery_server, rate=10.0) sets parameters."""

    def start(machine, module, server="", **parameters):
        rules = [word for name, value in parameters.items() for word in ("-p", f"{name}:={value}")]
        command = [sys.executable, "-m", f"trt_ssd_ros.{module}", "--ros-args", *rules]
        found_by = {"ROS_DISCOVERY_SERVER": server} if server else {}
        return start_process(machine.command(command), **EVERY_MACHINE, **found_by)

    return start


def test_a_robot_is_served_by_a_detector_elsewhere_and_again_after_a_cut(machines, start_on):
    robot, base = machines
    detector = start_on(base, "node.detector_node", image_transport="compressed", input_timeout=1.0)
    watch = start_on(robot, "recorder.watch")
    start_on(robot, "bench.ros.stand_in_camera", rate=10.0, compressed="true")
    detector.wait_until_it_says("first image on /image/compressed: 1280x720")
    watch.wait_until_it_says("watching /detections of /detector")
    watch.wait_until_it_says(" ms  ")
    said = len(detector.log)
    robot.plug(False)
    detector.wait_until_it_says("publishes /image/compressed, but no image arrives", after=said)
    seen, said = len(watch.log), len(detector.log)
    robot.plug(True)
    detector.wait_until_it_says("the problem with /image/compressed is solved", after=said)
    watch.wait_until_it_says(" ms  ", after=seen)


def test_without_multicast_a_discovery_server_brings_them_together(machines, start_on, start_process, tmp_path):
    robot, base = machines
    for machine in machines:
        run(machine.command(["ip", "link", "set", CABLE, "multicast", "off"]))
    address = f"{base.address}:11811"
    detector = start_on(base, "node.detector_node", address, image_transport="compressed")
    start_on(robot, "bench.ros.stand_in_camera", address, rate=10.0, compressed="true")
    detector.wait_until_it_says("no publisher")
    command, environment = discovery_server(tmp_path, base.address, 11811)
    server = start_process(base.command(command), **EVERY_MACHINE | environment)
    server.wait_until_it_says("the server is up")
    detector.wait_until_it_says("first image on /image/compressed: 1280x720")


def test_a_robot_that_is_cut_off_from_its_server_falls_back_and_returns(machines, start_on, card_path, tmp_path):
    robot, base = machines
    server = ModelServer(card_path, tmp_path, machine=base)
    try:
        remote = {"remote_url": server.url, "remote_timeout": 5.0}
        detector = start_on(robot, "node.detector_node", backend="remote", **remote)
        watch = start_on(robot, "recorder.watch")
        start_on(robot, "bench.ros.stand_in_camera", rate=5.0)
        watch.wait_until_it_says(" ms  ")
        said = len(detector.log)
        robot.plug(False)
        detector.wait_until_it_says("runs instead until the server answers again", after=said)
        seen = len(watch.log)
        watch.wait_until_it_says(" ms  ", after=seen)
        said = len(detector.log)
        robot.plug(True)
        detector.wait_until_it_says("answers again and runs", after=said)
    finally:
        server.kill()
