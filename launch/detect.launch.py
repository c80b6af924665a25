"""Launch the detector, and optionally a camera and rviz2.

ros2 launch trt_ssd_ros detect.launch.py image_topic:=/camera/image_raw     a camera that already publishes
ros2 launch trt_ssd_ros detect.launch.py source:=usb_cam                    a camera with its driver
ros2 launch trt_ssd_ros detect.launch.py source:=webcam:0                   a webcam without a driver
ros2 launch trt_ssd_ros detect.launch.py source:=demo rviz:=true            the photos of this package

A launch file that includes this one can rename nodes and topics with PushRosNamespace and SetRemap; on the command
line, namespace, detector_name and remap do.
"""

import os
from difflib import get_close_matches
from pathlib import Path

from ament_index_python.packages import PackageNotFoundError, get_package_prefix
from launch import LaunchContext, LaunchDescription, LaunchDescriptionEntity
from launch.actions import (
    DeclareLaunchArgument,
    GroupAction,
    IncludeLaunchDescription,
    OpaqueFunction,
    SetEnvironmentVariable,
    Shutdown,
)
from launch.events.process import ProcessExited
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch.logging import get_logger
from launch_ros.actions import Node

from trt_ssd_ros.files import share_folder
from trt_ssd_ros.images.source_name import SourceName, without_password
from trt_ssd_ros.launching.arguments import (
    BOOLEANS,
    CAMERA_ARGUMENTS,
    NODE_ARGUMENTS,
    OWN_SOURCES,
    SHIPPED_PARAMETERS,
    CameraRequest,
    argument_value,
    existing_file,
    exit_action,
    full_namespace,
    number,
    refuse_unknown_arguments,
)
from trt_ssd_ros.launching.composition import NodeInProcess, composed_nodes
from trt_ssd_ros.launching.drivers import NODE_NAME, dds_profile, log_level, topic_remappings
from trt_ssd_ros.launching.exits import end_if_failed, exit_handler
from trt_ssd_ros.launching.names import OUTPUT_TOPICS, absolute_name, file_sets, node_name, topic_rules
from trt_ssd_ros.launching.own_camera import OWN_CAMERA
from trt_ssd_ros.ros.transport import PROFILE_SWITCH

CAMERAS = share_folder() / "launch" / "cameras"
DRIVERS = {path.name.removesuffix(".launch.py") for path in CAMERAS.glob("*.launch.py")} - {"camera", "rosbag2"}

ARGUMENTS = [
    DeclareLaunchArgument(
        "source",
        default_value="topic",
        description=f"Origin of the images: topic (subscribe to image_topic) | {OWN_SOURCES} | bag:<path> | "
        f"a camera driver, optionally followed by :<device>: {' | '.join(sorted(DRIVERS))}",
    ),
    DeclareLaunchArgument(
        "model",
        default_value="",
        description="Name of a shipped model card, or path of a card; empty: as in params_file",
    ),
    DeclareLaunchArgument(
        "backend",
        default_value="",
        description="Backend that runs the network: auto | tensorrt | onnxruntime; empty: as in params_file",
    ),
    DeclareLaunchArgument(
        "precision",
        default_value="",
        description="Precision of TensorRT: auto | fp32 | fp16; empty: as in params_file",
    ),
    DeclareLaunchArgument(
        "score_threshold", default_value="", description="Lowest reported score, 0 to 1; empty: as in params_file"
    ),
    DeclareLaunchArgument(
        "debug",
        default_value="",
        choices=("", *BOOLEANS),
        description="Publish debug_image (drawn only while it has a subscriber); empty: as in params_file",
    ),
    DeclareLaunchArgument(
        "detector_name",
        default_value="detector",
        description="Name of the detector node; params_file gives its parameters under /**/<detector_name>",
    ),
    DeclareLaunchArgument(
        "remap",
        default_value="",
        description="New names of the detector's topics, separated by spaces: "
        f'remap:="detections:=objects debug_image:=view"; topics: {", ".join(OUTPUT_TOPICS)}',
    ),
    DeclareLaunchArgument(
        "rviz", default_value="false", choices=BOOLEANS, description="Show debug_image in rviz2"
    ),
    DeclareLaunchArgument(
        "dds_profile",
        default_value="true",
        choices=BOOLEANS,
        description="Give Fast DDS a shared-memory segment for large images, unless you have set a profile",
    ),
    DeclareLaunchArgument(
        "composed",
        default_value="",
        choices=("", *BOOLEANS),
        description="Run our own camera node (source: demo, file, webcam, address of a stream, gstreamer) in the "
        "process of the detector, which saves sending and receiving the images; empty: true for these sources",
    ),
    *NODE_ARGUMENTS,
    *CAMERA_ARGUMENTS,
]


def launch_nodes(context: LaunchContext) -> list[LaunchDescriptionEntity]:
    """Return the actions for the launch arguments."""
    refuse_unknown_arguments(Path(__file__), ARGUMENTS)
    arguments = {argument.name: argument_value(context, argument.name) for argument in ARGUMENTS}
    arguments["namespace"] = full_namespace(context)
    arguments["on_exit"] = exit_action(context, Path(__file__))
    arguments["params_file"] = str(existing_file("params_file", arguments["params_file"]))
    check_names(arguments)
    off = [SetEnvironmentVariable(PROFILE_SWITCH, "0")]
    actions = dds_profile() if arguments["dds_profile"] == "true" else off
    actions += nodes(arguments, context)
    if arguments["rviz"] == "true":
        actions.append(rviz(arguments))
    return actions


def check_names(arguments: dict[str, str]) -> None:
    """Check the names of the detector and its topics; warn if params_file does not know the detector's name."""
    topic_rules(arguments["remap"])
    name, path = node_name("detector_name", arguments["detector_name"]), Path(arguments["params_file"])
    full_name = absolute_name(arguments["namespace"], name)
    if name != "detector" and not path.samefile(SHIPPED_PARAMETERS) and not file_sets(path, full_name):
        get_logger("launch.user").warning(
            f"params_file: found no parameters of {full_name} in {path}: give them under /**/{name}"
        )


def nodes(arguments: dict[str, str], context: LaunchContext) -> list[LaunchDescriptionEntity]:
    """Return the nodes of the camera and the detector, in one process or in two."""
    source = arguments["source"]
    is_other = source.partition(":")[0] in (*DRIVERS, "bag", "topic")
    is_own = source == "gstreamer" or (not is_other and SourceName.parse(source).explicit)
    if is_own and arguments["composed"] != "false":
        return [composed(arguments, CameraRequest.from_context(context, arguments["on_exit"]))]
    if arguments["composed"] == "true":
        raise ValueError(
            f"composed: found 'true' with source:={without_password(source)}, expected a source of our own camera "
            "node: demo, file:<path>, webcam:<number>, rtsp://... or gstreamer"
        )
    cameras = [include("camera", on_exit=arguments["on_exit"])] if is_own else camera(arguments)
    return [*cameras, detector(arguments)]


def camera(arguments: dict[str, str]) -> list[LaunchDescriptionEntity]:
    """Return the launch file of a driver or a bag; empty for source:=topic."""
    source = arguments["source"]
    kind, _, device = source.partition(":")
    if source == "topic":
        refuse_camera_arguments(arguments)
        return []
    if kind not in (*DRIVERS, "bag"):
        raise ValueError(unknown_source(source, kind))
    if device and arguments["device"]:
        raise ValueError(
            f"device: found '{without_password(arguments['device'])}' beside source:={without_password(source)}, "
            "expected only one of them"
        )
    name = "rosbag2" if kind == "bag" else kind
    return [include(name, device=device or arguments["device"], on_exit=arguments["on_exit"])]


def refuse_camera_arguments(arguments: dict[str, str]) -> None:
    """Refuse camera arguments with source:=topic, which starts no camera."""
    for argument in CAMERA_ARGUMENTS:
        if arguments[argument.name]:
            found = f"found '{without_password(arguments[argument.name])}' with source:=topic"
            raise ValueError(f"{argument.name}: {found}, expected a source that this launch file starts")


def unknown_source(source: str, kind: str) -> str:
    """Return the error message for an unknown source."""
    near = [f"file:{source}"] if Path(source).exists() else get_close_matches(kind, sorted(DRIVERS))
    hint = f" (did you mean {' or '.join(near)}?)" if near else ""
    own = "topic, demo, file:<path>, webcam:<number>, rtsp://..., gstreamer, bag:<path>"
    found = f"source: found '{without_password(source)}'{hint}"
    return f"{found}, expected {own} or a driver: {', '.join(sorted(DRIVERS))}"


def include(name: str, **arguments: str) -> GroupAction:
    """Include a camera's launch file in its own scope; it inherits the arguments that are not given here."""
    source = PythonLaunchDescriptionSource(str(CAMERAS / f"{name}.launch.py"))
    given = {"respawn": "", **arguments}  # on_exit has taken the place of its deprecated alias
    return GroupAction([IncludeLaunchDescription(source, launch_arguments=given.items())])


def detector_overrides(arguments: dict[str, str]) -> dict[str, str | float | bool]:
    """Return the parameters that the launch arguments give to the detector."""
    overrides: dict[str, str | float | bool] = {
        name: arguments[name] for name in ("model", "backend", "precision") if arguments[name]
    }
    if arguments["debug"]:
        overrides["debug_image"] = arguments["debug"] == "true"
    if arguments["score_threshold"]:
        overrides["score_threshold"] = number("score_threshold", arguments["score_threshold"])
    if arguments["source"].startswith("bag:"):
        overrides["use_sim_time"] = True  # because rosbag2's player publishes /clock
    return overrides


def detector_topics(arguments: dict[str, str]) -> list[tuple[str, str]]:
    """Return the remappings of the detector's topics."""
    return [("image", arguments["image_topic"]), *topic_rules(arguments["remap"]).items()]


def detector(arguments: dict[str, str]) -> Node:
    """Return the detector node; `on_exit` says what the launch does when the node ends."""
    return Node(
        package="trt_ssd_ros",
        executable="detector_node",
        name=arguments["detector_name"],
        namespace=arguments["namespace"],
        parameters=[arguments["params_file"], detector_overrides(arguments)],
        remappings=detector_topics(arguments),
        ros_arguments=log_level(arguments["namespace"], arguments["detector_name"], arguments["log_level"]),
        output="screen",
        on_exit=exit_handler(arguments["on_exit"], end_with_detector),
    )


def composed(arguments: dict[str, str], request: CameraRequest) -> Node:
    """Return the process of detector and camera; `on_exit` says what the launch does when it ends."""
    topics = topic_remappings(request, OWN_CAMERA.images, OWN_CAMERA.infos)
    name = arguments["detector_name"]
    if name == NODE_NAME:
        raise ValueError(
            f"detector_name: found '{name}', the name of the camera node in the same process: "
            "choose another name, or composed:=false"
        )
    return composed_nodes(
        "composed_node",
        (
            NodeInProcess("detector", name, detector_overrides(arguments), detector_topics(arguments)),
            NodeInProcess(NODE_NAME, NODE_NAME, OWN_CAMERA.settings(request), topics),
        ),
        arguments["namespace"],
        Path(arguments["params_file"]),
        arguments["log_level"],
        exit_handler(arguments["on_exit"], end_with_detector),
    )


def rviz(arguments: dict[str, str]) -> Node:
    """Return the node of rviz2, configured to show debug_image."""
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
        namespace=arguments["namespace"],
        arguments=["-d", str(share_folder() / "config" / "detect.rviz")],
        remappings=[("/debug_image", topic_rules(arguments["remap"]).get("debug_image", "debug_image"))],
        output="screen",
    )


def end_with_detector(event: ProcessExited, context: LaunchContext) -> list[Shutdown]:
    """End the launch when the detector ends; do nothing while the launch already shuts down (Ctrl-C)."""
    end_if_failed(event, context)
    return [] if context.is_shutdown else [Shutdown(reason="the detector ended")]


def generate_launch_description() -> LaunchDescription:
    """Return the launch description."""
    return LaunchDescription([*ARGUMENTS, OpaqueFunction(function=launch_nodes)])
