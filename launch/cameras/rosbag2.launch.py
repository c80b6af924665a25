"""The images of a bag through rosbag2's player, with the bag's clock.

ros2 launch trt_ssd_ros rosbag2.launch.py device:=/path/of/bag

Options: `ros2 bag play --help` of Humble, Jazzy and Kilted (github.com/ros2/rosbag2,
ros2bag/ros2bag/verb/play.py). Only images, their camera_info and transforms are played, so that recorded
detections do not mix with new ones. The player starts once the detector, or without a detector any node,
subscribes.
"""

import sys

from launch import LaunchDescription, LaunchDescriptionEntity
from launch.actions import ExecuteProcess

from trt_ssd_ros.launching.arguments import CameraRequest
from trt_ssd_ros.launching.bag import ANY, read_bag_topics
from trt_ssd_ros.launching.drivers import describe_camera, require, topic_remappings
from trt_ssd_ros.launching.exits import end_if_failed
from trt_ssd_ros.launching.names import absolute_name

PACKAGE = "ros2bag"
DISCOVERY = "2"
"""Seconds for the detector to discover the player's publishers: the player does not wait for subscribers."""
INSTALL = "sudo apt install ros-{distro}-rosbag2"


def start(request: CameraRequest) -> list[LaunchDescriptionEntity]:
    """Return rosbag2's player."""
    require(PACKAGE, INSTALL, "`ros2 run trt_ssd_ros detect BAG` reads bags without it")
    request.refuse_unsupported("rosbag2", ("device", "loop"))
    image_topic = absolute_name(request.namespace, request.image_topic)
    topics = read_bag_topics(request.device, image_topic)
    infos = [topics.info] if topics.info else []
    renamed = topic_remappings(request, [topics.image], infos)
    remap = [f"{old}:={absolute_name(request.namespace, new)}" for old, new in renamed]
    awaited = absolute_name(request.namespace, request.detector) if request.detector else ANY
    wait = [sys.executable, "-m", "trt_ssd_ros.launching.bag", image_topic, awaited]
    command = [*wait, "ros2", "bag", "play", str(topics.path), "--clock", "--delay", DISCOVERY]
    command += ["--topics", topics.image, *infos, "/tf", "/tf_static", "--remap", *remap]
    command += ["--loop"] if request.loop else []
    on_exit = None if request.on_exit == "ignore" else end_if_failed
    return [ExecuteProcess(cmd=command, name="rosbag2", output="screen", on_exit=on_exit)]


def generate_launch_description() -> LaunchDescription:
    """Return the launch description."""
    return describe_camera(start)
