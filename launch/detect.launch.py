"""Detect objects in a camera's images.

ros2 launch trt_ssd_ros detect.launch.py image_topic:=/camera/image_raw     a camera that already publishes
ros2 launch trt_ssd_ros detect.launch.py source:=webcam:0                   a webcam without a driver
ros2 launch trt_ssd_ros detect.launch.py source:=demo rviz:=true            the photos that come with the package
"""

import os
from pathlib import Path
from posixpath import dirname, join

from ament_index_python.packages import PackageNotFoundError, get_package_prefix
from launch import LaunchContext, LaunchDescription, LaunchDescriptionEntity
from launch.actions import DeclareLaunchArgument, OpaqueFunction, SetEnvironmentVariable, Shutdown
from launch.events.process import ProcessExited
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node

from trt_ssd_ros.core.resources import share_folder
from trt_ssd_ros.ros.dds_profile import SWITCH, profile_environment

BOOLEANS = ("true", "false")
RESPAWN_DELAY = 2.0
CONFIG = share_folder() / "config"

ARGUMENTS = [
    DeclareLaunchArgument(
        "source",
        default_value="topic",
        description="Where images come from: topic (subscribe to image_topic) | demo (photos of this package) | "
        "file:<path of an image, a folder or a video> | webcam:<number>",
    ),
    DeclareLaunchArgument(
        "image_topic",
        default_value="image_raw",
        description="Topic of the images, read or, with a source, published",
    ),
    DeclareLaunchArgument(
        "model",
        default_value="",
        description="Name of a shipped model card or the path of one; empty: as in params_file",
    ),
    DeclareLaunchArgument(
        "backend", default_value="", description="auto | tensorrt | onnxruntime; empty: as in params_file"
    ),
    DeclareLaunchArgument(
        "precision", default_value="", description="auto | fp32 | fp16, for TensorRT; empty: as in params_file"
    ),
    DeclareLaunchArgument(
        "score_threshold", default_value="", description="Lowest score reported, 0 to 1; empty: as in params_file"
    ),
    DeclareLaunchArgument(
        "debug",
        default_value="",
        choices=("", *BOOLEANS),
        description="Publish debug_image (drawn only while somebody subscribes to it); empty: as in params_file",
    ),
    DeclareLaunchArgument(
        "rviz", default_value="false", choices=BOOLEANS, description="Show debug_image in rviz2"
    ),
    DeclareLaunchArgument(
        "params_file",
        default_value=str(CONFIG / "detect.yaml"),
        description="YAML file with the nodes' parameters",
    ),
    DeclareLaunchArgument("namespace", default_value="", description="Namespace of all nodes and relative topics"),
    DeclareLaunchArgument(
        "log_level",
        default_value="info",
        choices=("debug", "info", "warn", "error"),
        description="Log level of the nodes",
    ),
    DeclareLaunchArgument(
        "respawn",
        default_value="false",
        choices=BOOLEANS,
        description="Start the detector again when it ends, as when the GPU is lost, rather than end the launch",
    ),
    DeclareLaunchArgument(
        "dds_profile",
        default_value="true",
        choices=BOOLEANS,
        description="Give Fast DDS a shared-memory segment for large images, unless you have set its profile",
    ),
]


def launch_nodes(context: LaunchContext) -> list[LaunchDescriptionEntity]:
    """Return what the arguments ask for."""
    chosen = {argument.name: LaunchConfiguration(argument.name).perform(context) for argument in ARGUMENTS}
    if not Path(chosen["params_file"]).is_file():
        raise ValueError(f"params_file: found no file {chosen['params_file']}, expected a YAML file")
    actions: list[LaunchDescriptionEntity] = []
    if chosen["dds_profile"] == "true":
        profile = profile_environment(CONFIG / "fastdds_large_images.xml")
        actions += [SetEnvironmentVariable(name, value) for name, value in profile.items()]
    else:
        actions.append(SetEnvironmentVariable(SWITCH, "0"))
    if chosen["source"] != "topic":
        actions.append(camera(chosen))
    actions.append(detector(chosen))
    if chosen["rviz"] == "true":
        actions.append(rviz(chosen))
    return actions


def detector(chosen: dict[str, str]) -> Node:
    """Return the detector node; without it the launch ends, unless it is started again."""
    overrides: dict[str, str | float | bool] = {
        name: chosen[name] for name in ("model", "backend", "precision") if chosen[name]
    }
    if chosen["debug"]:
        overrides["debug_image"] = chosen["debug"] == "true"
    if chosen["score_threshold"]:
        overrides["score_threshold"] = number("score_threshold", chosen["score_threshold"])
    return Node(
        package="trt_ssd_ros",
        executable="detector_node",
        name="detector",
        namespace=chosen["namespace"],
        parameters=[chosen["params_file"], overrides],
        remappings=[("image", chosen["image_topic"])],
        ros_arguments=log_level(chosen, "detector"),
        output="screen",
        respawn=chosen["respawn"] == "true",
        respawn_delay=RESPAWN_DELAY,
        on_exit=None if chosen["respawn"] == "true" else end_with_detector,
    )


def camera(chosen: dict[str, str]) -> Node:
    """Return the camera node; when it fails the launch ends."""
    source = chosen["source"]
    if source != "demo" and source.partition(":")[0] not in ("file", "webcam"):
        raise ValueError(f"source: found '{source}', expected topic, demo, file:<path> or webcam:<number>")
    topic = chosen["image_topic"]
    return Node(
        package="trt_ssd_ros",
        executable="camera_node",
        name="camera",
        namespace=chosen["namespace"],
        parameters=[chosen["params_file"], {"source": source}],
        remappings=[("image_raw", topic), ("camera_info", join(dirname(topic), "camera_info"))],
        ros_arguments=log_level(chosen, "camera"),
        output="screen",
        on_exit=end_if_failed,
    )


def rviz(chosen: dict[str, str]) -> Node:
    """Return rviz2 with a view of debug_image."""
    try:
        get_package_prefix("rviz2")
    except PackageNotFoundError as error:
        raise RuntimeError(
            "rviz:=true needs rviz2, which is not installed: sudo apt install "
            f"ros-{os.environ.get('ROS_DISTRO', '<distro>')}-rviz2; without ROS from apt, try scripts/demo --view"
        ) from error
    return Node(
        package="rviz2",
        executable="rviz2",
        name="rviz",
        namespace=chosen["namespace"],
        arguments=["-d", str(CONFIG / "detect.rviz")],
        remappings=[("/debug_image", "debug_image")],
        output="screen",
    )


def end_if_failed(event: ProcessExited, _: LaunchContext) -> None:
    """End the launch, and make it fail, when a process fails; one that is done leaves the others running."""
    if event.returncode:
        raise RuntimeError(f"{event.process_name} failed (exit code {event.returncode}), see above")


def end_with_detector(event: ProcessExited, context: LaunchContext) -> list[Shutdown]:
    """End the launch when the detector ends."""
    end_if_failed(event, context)
    return [Shutdown(reason="the detector ended")]


def log_level(chosen: dict[str, str], node: str) -> list[str]:
    """Return the ROS arguments that set the level of one node's own logger."""
    logger = ".".join([*chosen["namespace"].strip("/").split("/"), node]).lstrip(".")
    return ["--log-level", f"{logger}:={chosen['log_level']}"]


def number(argument: str, text: str) -> float:
    """Read a number from a launch argument."""
    try:
        return float(text)
    except ValueError:
        raise ValueError(f"{argument}: found '{text}', expected a number") from None


def generate_launch_description() -> LaunchDescription:
    """Return the launch description."""
    return LaunchDescription([*ARGUMENTS, OpaqueFunction(function=launch_nodes)])
