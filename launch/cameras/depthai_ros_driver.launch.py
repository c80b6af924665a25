"""The colour images of an OAK camera through depthai_ros_driver.

ros2 launch trt_ssd_ros depthai_ros_driver.launch.py width:=1280 height:=720 fps:=30

The driver is a component whose launch file also describes the camera's frames, so that file is included:
camera.launch.py of version 2 (Humble, Jazzy), driver.launch.py of version 3 (Kilted), both with name, namespace
and params_file. Names: github.com/luxonis/depthai-ros, depthai_ros_driver/launch, config/camera.yaml and
src/param_handlers, and docs.luxonis.com ("ROS Driver", "Parameters"). The camera's own neural network is off,
because our detector processes the images. Calibration and frames come from the camera.
"""

import atexit
import tempfile
from pathlib import Path
from typing import Any

import yaml
from launch import LaunchDescription, LaunchDescriptionEntity

from trt_ssd_ros.errors import one_line
from trt_ssd_ros.launching.arguments import CameraRequest
from trt_ssd_ros.launching.drivers import NODE_NAME, describe_camera, include_driver, require, topic_remappings

PACKAGE = "depthai_ros_driver"
LAUNCH_FILES = {
    "driver.launch.py": ("driver.i_device_id", "pipeline_gen"),
    "camera.launch.py": ("camera.i_mx_id", "camera"),
}


def start(request: CameraRequest) -> list[LaunchDescriptionEntity]:
    """Include the driver's own launch file."""
    folder = require(PACKAGE) / "launch"
    request.refuse_unsupported(PACKAGE, ("device", "width", "height", "fps"))
    name = next((name for name in LAUNCH_FILES if (folder / name).is_file()), None)
    if name is None:
        raise RuntimeError(f"{PACKAGE}: found no {' or '.join(LAUNCH_FILES)} in {folder}, expected version 2 or 3")
    arguments = {
        "name": NODE_NAME,
        "namespace": request.namespace,
        "params_file": parameter_file(request, *LAUNCH_FILES[name]),
    }
    topics = topic_remappings(request, ["~/rgb/image_raw"], ["~/rgb/camera_info"])
    return [include_driver(folder / name, arguments, topics)]


def parameter_file(request: CameraRequest, device: str, pipeline: str) -> str:
    """Write one parameter file, which is all that the driver takes, and delete it when the launch ends.

    It merges our defaults, params_file and the launch arguments; later ones win.
    """
    asked = {
        device: request.device or None,
        "rgb.i_width": request.width,
        "rgb.i_height": request.height,
        "rgb.i_fps": request.fps,
    }
    parameters = read_parameters(request.params_file)
    all_nodes, camera = (section(parameters, name) for name in ("/**", f"/**/{NODE_NAME}"))
    all_nodes.update({f"{pipeline}.i_pipeline_type": "RGB", f"{pipeline}.i_nn_type": "none"} | all_nodes)
    camera.update({name: value for name, value in asked.items() if value is not None})
    with tempfile.NamedTemporaryFile("w", prefix=f"{PACKAGE}_", suffix=".yaml", delete=False) as file:
        yaml.safe_dump(parameters, file)
    atexit.register(Path(file.name).unlink, missing_ok=True)
    return file.name


def read_parameters(path: Path) -> dict[str, Any]:
    """Read a ROS parameter file.

    Raises:
        ValueError: The file is not YAML or has no nodes.
    """
    try:
        parameters = yaml.safe_load(path.read_text()) or {}
    except yaml.YAMLError as error:
        raise ValueError(f"params_file: {path} is not valid YAML: {one_line(error)}") from error
    if not isinstance(parameters, dict):
        raise ValueError(f"params_file: found {parameters!r} in {path}, expected nodes with their ros__parameters")
    return parameters


def section(parameters: dict[str, Any], node: str) -> dict[str, Any]:
    """Return the parameter dictionary of a node, which the caller may change."""
    found: dict[str, Any] = parameters.setdefault(node, {}).setdefault("ros__parameters", {})
    return found


def generate_launch_description() -> LaunchDescription:
    """Return the launch description."""
    return describe_camera(start)
