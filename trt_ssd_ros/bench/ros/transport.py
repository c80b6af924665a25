"""Measure image transport between two processes, under different middleware settings.

One process publishes, another receives, both best effort; neither detects.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from time import monotonic, process_time, sleep

import numpy as np
from ament_index_python.packages import get_packages_with_prefixes
from rclpy.node import Node
from rclpy.utilities import remove_ros_args
from sensor_msgs.msg import Image
from std_msgs.msg import Header

from trt_ssd_ros.errors import one_line
from trt_ssd_ros.node.messages import image_to_msg
from trt_ssd_ros.ros.process import ros_context
from trt_ssd_ros.ros.stamps import nanoseconds
from trt_ssd_ros.ros.transport import (
    ALLOCATOR_SWITCH,
    PROFILE_SWITCH,
    PROFILE_VARIABLES,
    keep_freed_blocks,
    newest_image,
)
from trt_ssd_ros.version import add_version

TOPIC = "transport_benchmark/image"
CAMERA = newest_image()
TIMEOUT, IDLE_TIMEOUT = 20.0, 2.0
"""Seconds to wait for the first image, and for another one after the last."""
PLAIN = {PROFILE_SWITCH: "0", ALLOCATOR_SWITCH: "0"}
SETTINGS: Mapping[str, Mapping[str, str]] = {
    "Fast DDS, its defaults": {"RMW_IMPLEMENTATION": "rmw_fastrtps_cpp", **PLAIN},
    "Fast DDS, our profile": {"RMW_IMPLEMENTATION": "rmw_fastrtps_cpp", ALLOCATOR_SWITCH: "0"},
    "Fast DDS, our profile and allocator": {"RMW_IMPLEMENTATION": "rmw_fastrtps_cpp"},
    "Cyclone DDS, its defaults": {"RMW_IMPLEMENTATION": "rmw_cyclonedds_cpp", **PLAIN},
    "Cyclone DDS, our allocator": {"RMW_IMPLEMENTATION": "rmw_cyclonedds_cpp"},
}


@dataclass(frozen=True)
class Received:
    """Images that arrived.

    Attributes:
        images: Number of received images.
        latency: Median milliseconds from stamp to arrival.
        cpu: Processor time of the receiving process per image, in milliseconds.
    """

    images: int
    latency: float
    cpu: float


def publish(width: int, height: int, rate: float, count: int) -> None:
    """Publish images at this rate per second, once the receiver has subscribed."""
    pixels = np.zeros((height, width, 3), np.uint8)
    with ros_context([]) as ros:
        node = ros.add(Node("transport_benchmark_camera"))
        keep_freed_blocks()
        publisher = node.create_publisher(Image, TOPIC, CAMERA)
        deadline = monotonic() + TIMEOUT
        while publisher.get_subscription_count() == 0 and monotonic() < deadline:
            sleep(0.05)
        sleep(1.0)
        start = monotonic()
        for number in range(count):
            sleep(max(0.0, start + number / rate - monotonic()))
            header = Header(stamp=node.get_clock().now().to_msg())
            publisher.publish(image_to_msg(pixels, "bgr", header))


def receive() -> Received:
    """Receive images until IDLE_TIMEOUT seconds pass without one.

    Raises:
        RuntimeError: Fewer than two images arrived.
    """
    latencies: list[float] = []
    cpu, last = [0.0], [monotonic() + TIMEOUT]
    with ros_context([]) as ros:
        node = ros.add(Node("transport_benchmark_receiver"))
        keep_freed_blocks()

        def take(image: Image) -> None:
            latencies.append((node.get_clock().now().nanoseconds - nanoseconds(image.header.stamp)) / 1e6)
            cpu.append(process_time())
            last[0] = monotonic() + IDLE_TIMEOUT

        node.create_subscription(Image, TOPIC, take, CAMERA)
        while monotonic() < last[0]:
            ros.executor.spin_once(timeout_sec=0.2)
    if len(latencies) < 2:
        raise RuntimeError(f"received {len(latencies)} images, expected 2 or more")
    return Received(len(latencies), float(np.median(latencies)), (cpu[-1] - cpu[1]) / (len(latencies) - 1) * 1e3)


def measure(options: argparse.Namespace, settings: Mapping[str, str]) -> Received:
    """Run both processes with these environment variables; PROFILE_VARIABLES are not inherited.

    Raises:
        RuntimeError: The receiver failed.
    """
    inherited = {name: value for name, value in os.environ.items() if name not in PROFILE_VARIABLES}
    environment = {**inherited, **settings}
    shape = [f"--{name}={getattr(options, name)}" for name in ("width", "height", "rate", "count")]
    command = [sys.executable, "-m", "trt_ssd_ros.bench.ros.transport", *shape]
    receiver = subprocess.Popen([*command, "--role=receive"], env=environment, stdout=subprocess.PIPE, text=True)  # noqa: S603
    subprocess.run([*command, "--role=publish"], env=environment, check=True)  # noqa: S603 - our own module
    output, _ = receiver.communicate()
    if receiver.returncode:
        raise RuntimeError("the receiving process failed: see its error above")
    return Received(**json.loads(output))


def main(args: Sequence[str] | None = None) -> int:
    """Measure from the command line."""
    parser = argparse.ArgumentParser(prog="transport_benchmark", description=__doc__)
    add_version(parser)
    parser.add_argument("--width", type=int, default=1280, help="image width in pixels (default: 1280)")
    parser.add_argument("--height", type=int, default=720, help="image height in pixels (default: 720)")
    parser.add_argument("--rate", type=float, default=30.0, help="images per second (default: 30)")
    parser.add_argument("--count", type=int, default=240, help="images per setting (default: 240)")
    parser.add_argument("--role", choices=("publish", "receive"), help=argparse.SUPPRESS)
    options = parser.parse_args(remove_ros_args(args)[1:])
    try:
        if options.role == "publish":
            publish(options.width, options.height, options.rate, options.count)
        elif options.role == "receive":
            print(json.dumps(asdict(receive())))
        else:
            print_table(options)
    except (OSError, RuntimeError, subprocess.CalledProcessError) as error:
        print(f"transport_benchmark: {one_line(error)}", file=sys.stderr)
        return 1
    return 0


def print_table(options: argparse.Namespace) -> None:
    """Measure under every setting whose middleware is installed, and print one row each."""
    installed = get_packages_with_prefixes()
    print(f"{options.width}x{options.height} bgr8 at {options.rate:g} Hz, {os.cpu_count()} CPU cores")
    print(f"{'':<38}{'received':>12}{'latency p50':>14}{'CPU per image':>15}")
    for name, settings in SETTINGS.items():
        if settings["RMW_IMPLEMENTATION"] in installed:
            row = measure(options, settings)
            received = f"{row.images} of {options.count}"
            print(f"{name:<38}{received:>12}{row.latency:>11.1f} ms{row.cpu:>12.1f} ms", flush=True)


if __name__ == "__main__":
    sys.exit(main())
