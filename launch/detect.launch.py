"""Launch the detector, and optionally a camera, a locator and a view: a web page or rviz2.

ros2 launch trt_ssd_ros detect.launch.py image_topic:=/camera/image_raw     a camera that already publishes
ros2 launch trt_ssd_ros detect.launch.py source:=usb_cam                    a camera with its driver
ros2 launch trt_ssd_ros detect.launch.py source:=webcam:0                   a webcam without a driver
ros2 launch trt_ssd_ros detect.launch.py source:=demo view:=web             the photos of this package
ros2 launch trt_ssd_ros detect.launch.py cameras:="front=usb_cam side=topic:/cam3/image_raw"    several cameras
ros2 launch trt_ssd_ros detect.launch.py image_topic:=/rgb/image_raw depth:=/depth/image_raw    objects in metres

A launch file that includes this one can rename nodes and topics with PushRosNamespace and SetRemap; on the command
line, namespace, detector_name and remap do.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

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
from trt_ssd_ros.launching.drivers import (
    NODE_NAME,
    dds_profile,
    log_level,
    topic_remappings,
    typed_parameter,
)
from trt_ssd_ros.launching.exits import end_if_failed, exit_handler
from trt_ssd_ros.launching.locators import locators, read_depth
from trt_ssd_ros.launching.names import OUTPUT_TOPICS, absolute_name, file_sets, node_name, topic_rules
from trt_ssd_ros.launching.own_camera import OWN_CAMERA
from trt_ssd_ros.launching.rig import RigCamera, output_topics, read_rig
from trt_ssd_ros.launching.rviz import rviz
from trt_ssd_ros.launching.sources import CAMERA_FILES, DRIVERS
from trt_ssd_ros.launching.view import VIEW_ARGUMENTS, chosen_view
from trt_ssd_ros.launching.web import web
from trt_ssd_ros.ros.transport import PROFILE_SWITCH

Arguments = Mapping[str, str]

ARGUMENTS = [
    DeclareLaunchArgument(
        "source",
        default_value="topic",
        description=f"Origin of the images: topic (subscribe to image_topic) | {OWN_SOURCES} | bag:<path> | "
        f"a camera driver, optionally followed by :<device>: {' | '.join(DRIVERS)}",
    ),
    DeclareLaunchArgument(
        "cameras",
        default_value="",
        description="Several cameras of one detector, in place of source: NAME=SOURCE, separated by spaces, e.g. "
        'cameras:="front=usb_cam:/dev/video0 rear=rtsp://10.0.0.8/stream side=topic:/cam3/image_raw". Each camera '
        "runs in the namespace NAME; its detections are NAME/detections. params_file (example: "
        "config/cameras.yaml) gives each its settings: NAME.roi and others of the detector, and those of its "
        "driver under /**/NAME/camera",
    ),
    DeclareLaunchArgument(
        "model",
        default_value="",
        description="Name of a shipped model card, or path of a card; empty: as in params_file",
    ),
    DeclareLaunchArgument(
        "backend",
        default_value="",
        description="Backend that runs the network: auto | tensorrt | onnxruntime | remote; empty: as in "
        "params_file",
    ),
    DeclareLaunchArgument(
        "remote_url",
        default_value="",
        description="Server of backend:=remote, e.g. http://gpu-server:8000 (docs/fleet.md); empty: as "
        "in params_file",
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
        "tracking",
        default_value="",
        choices=("", *BOOLEANS),
        description="Give each object one id while it is seen (docs/objects.md); empty: as in params_file",
    ),
    DeclareLaunchArgument(
        "depth",
        default_value="",
        description="Depth images beside the camera's, e.g. /camera/aligned_depth_to_color/image_raw: start a "
        "locator, which gives each object its place in metres (docs/objects.md). With cameras: NAME=TOPIC, "
        'separated by spaces, e.g. depth:="front=/front/depth/image_rect_raw"',
    ),
    DeclareLaunchArgument(
        "depth_info",
        default_value="",
        description="camera_info of the depth images; with cameras: NAME=TOPIC. Empty: camera_info beside depth",
    ),
    DeclareLaunchArgument(
        "target_frame",
        default_value="",
        description="Frame of the places by tf, e.g. map; empty: as in params_file, else the optical frame of the "
        "camera",
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
        f'remap:="detections:=objects debug_image:=view"; topics: {", ".join(OUTPUT_TOPICS)}; with cameras: '
        "NAME/detections and so on",
    ),
    *VIEW_ARGUMENTS,
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
    rig = read_rig(arguments)
    depth = read_depth(arguments, rig)
    check_names(arguments, rig)
    off = [SetEnvironmentVariable(PROFILE_SWITCH, "0")]
    actions = dds_profile() if arguments["dds_profile"] == "true" else off
    actions += nodes(arguments, rig, context)
    renamed = dict(detector_topics(arguments, rig))
    actions += locators(arguments, depth, renamed)
    view = chosen_view(arguments)
    if view == "rviz":
        names = [camera.name for camera in rig if camera.name]
        frame = arguments["target_frame"].lstrip("/") or arguments["frame_id"]
        located = [source.camera.name for source in depth]
        actions.append(rviz(arguments["namespace"], names, renamed, located, frame))
    elif view == "web":
        actions.append(web(arguments, topic_rules(arguments["remap"], output_topics(rig))))
    return actions


def check_names(arguments: Arguments, rig: Sequence[RigCamera]) -> None:
    """Check the names of the detector and its topics; warn if params_file does not know the detector's name."""
    detector_topics(arguments, rig)
    name, path = node_name("detector_name", arguments["detector_name"]), Path(arguments["params_file"])
    full_name = absolute_name(arguments["namespace"], name)
    if name != "detector" and not path.samefile(SHIPPED_PARAMETERS) and not file_sets(path, full_name):
        get_logger("launch.user").warning(
            f"params_file: found no parameters of {full_name} in {path}: give them under /**/{name}"
        )


def nodes(arguments: Arguments, rig: Sequence[RigCamera], context: LaunchContext) -> list[LaunchDescriptionEntity]:
    """Return the nodes of the cameras and the detector: our own cameras in its process, drivers in others."""
    own = [camera for camera in rig if camera.source.kind == "own"]
    if arguments["composed"] == "true" and not own:
        argument = "cameras" if rig[0].name else "source"
        found = f"{argument}:={', '.join(camera.source.shown for camera in rig)}"
        raise ValueError(
            f"composed: found 'true' with {found}, expected a source of our own camera node: demo, file:<path>, "
            "webcam:<number>, rtsp://... or gstreamer"
        )
    inside = [] if arguments["composed"] == "false" else own
    others = [camera for camera in rig if camera.source.kind != "topic" and camera not in inside]
    started = [include(camera.source.launch_file, camera.include_arguments(arguments)) for camera in others]
    if not inside:
        return [*started, detector(arguments, rig)]
    request = CameraRequest.from_context(context, arguments["on_exit"])
    return [*started, composed(arguments, rig, {camera.name: camera.request(request) for camera in inside})]


def include(name: str, arguments: Mapping[str, str]) -> GroupAction:
    """Include a camera's launch file in its own scope; it inherits the arguments that are not given here."""
    source = PythonLaunchDescriptionSource(str(CAMERA_FILES / f"{name}.launch.py"))
    given = {"respawn": "", **arguments}  # on_exit has taken the place of its deprecated alias
    return GroupAction([IncludeLaunchDescription(source, launch_arguments=given.items())])


def detector_overrides(arguments: Arguments, rig: Sequence[RigCamera]) -> dict[str, Any]:
    """Return the parameters that the launch arguments give to the detector."""
    overrides: dict[str, Any] = {
        name: arguments[name] for name in ("model", "backend", "remote_url", "precision") if arguments[name]
    }
    for argument, parameter in (("debug", "debug_image"), ("tracking", "tracking")):
        if arguments[argument]:
            overrides[parameter] = arguments[argument] == "true"
    if arguments["score_threshold"]:
        overrides["score_threshold"] = number("score_threshold", arguments["score_threshold"])
    if rig[0].source.kind == "bag":
        overrides["use_sim_time"] = True  # because rosbag2's player publishes /clock
    if rig[0].name:
        overrides["cameras"] = [camera.name for camera in rig]
    return overrides


def detector_topics(arguments: Arguments, rig: Sequence[RigCamera]) -> list[tuple[str, str]]:
    """Return the remappings of the detector's topics."""
    images = [(f"{camera.prefix}image", camera.topic) for camera in rig]
    return [*images, *topic_rules(arguments["remap"], output_topics(rig)).items()]


def detector(arguments: Arguments, rig: Sequence[RigCamera]) -> Node:
    """Return the detector node; `on_exit` says what the launch does when the node ends."""
    overrides = detector_overrides(arguments, rig)
    return Node(
        package="trt_ssd_ros",
        executable="detector_node",
        name=arguments["detector_name"],
        namespace=arguments["namespace"],
        parameters=[
            arguments["params_file"],
            {name: typed_parameter(value) for name, value in overrides.items()},
        ],
        remappings=detector_topics(arguments, rig),
        ros_arguments=log_level(arguments["namespace"], arguments["detector_name"], arguments["log_level"]),
        output="screen",
        on_exit=exit_handler(arguments["on_exit"], end_with_detector),
    )


def composed(arguments: Arguments, rig: Sequence[RigCamera], requests: Mapping[str, CameraRequest]) -> Node:
    """Return the process of the detector and our own cameras, by their names in the rig.

    `on_exit` says what the launch does when the process ends.
    """
    name = arguments["detector_name"]
    if name == NODE_NAME:
        raise ValueError(
            f"detector_name: found '{name}', the name of the camera node in the same process: "
            "choose another name, or composed:=false"
        )
    eyes = NodeInProcess("detector", name, detector_overrides(arguments, rig), detector_topics(arguments, rig))
    cameras = [
        NodeInProcess(
            NODE_NAME,
            NODE_NAME,
            OWN_CAMERA.settings(request),
            # Several cameras publish on image_raw, each in its namespace.
            () if camera else topic_remappings(request, OWN_CAMERA.images, OWN_CAMERA.infos),
            camera,
        )
        for camera, request in requests.items()
    ]
    return composed_nodes(
        "composed_node",
        (eyes, *cameras),
        arguments["namespace"],
        Path(arguments["params_file"]),
        arguments["log_level"],
        exit_handler(arguments["on_exit"], end_with_detector),
        [camera for camera in requests if camera],
    )


def end_with_detector(event: ProcessExited, context: LaunchContext) -> list[Shutdown]:
    """End the launch when the detector ends; do nothing while the launch already shuts down (Ctrl-C)."""
    end_if_failed(event, context)
    return [] if context.is_shutdown else [Shutdown(reason="the detector ended")]


def generate_launch_description() -> LaunchDescription:
    """Return the launch description."""
    return LaunchDescription([*ARGUMENTS, OpaqueFunction(function=launch_nodes)])
