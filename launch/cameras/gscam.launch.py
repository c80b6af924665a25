"""Any GStreamer source through gscam, e.g. a Jetson's CSI cameras and network cameras.

ros2 launch trt_ssd_ros gscam.launch.py pipeline:=csi device:=0 width:=1280 height:=720 fps:=30
ros2 launch trt_ssd_ros gscam.launch.py pipeline:=rtsp device:=rtsp://10.0.0.8/stream
ros2 launch trt_ssd_ros gscam.launch.py pipeline:="videotestsrc is-live=true ! videoconvert"

Names: github.com/ros-drivers/gscam, src/gscam.cpp (Humble, Jazzy, Kilted); it adds the sink, and asks the
pipeline for image_encoding (rgb8). Elements: NVIDIA's Jetson Linux Developer Guide, "Accelerated GStreamer"
(nvarguscamerasrc, nvv4l2decoder, nvvidconv), and gstreamer.freedesktop.org (rtspsrc, decodebin, avdec_h264).
"""

from launch import LaunchDescription, LaunchDescriptionEntity

from trt_ssd_ros.images.source_name import without_password
from trt_ssd_ros.launching.arguments import CameraRequest
from trt_ssd_ros.launching.drivers import Driver, describe_camera

CSI_SIZE, CSI_RATE = (1280, 720), 30.0
RTSP = "rtspsrc location={device} protocols=tcp latency=100 drop-on-latency=true"
FROM_JETSON = "nvvidconv ! video/x-raw,format=BGRx ! videoconvert"
PIPELINES = {
    "csi": "nvarguscamerasrc sensor-id={device} ! video/x-raw(memory:NVMM),width={width},height={height},"
    "framerate={rate}/1,format=NV12 ! " + FROM_JETSON,
    "rtsp": RTSP + " ! decodebin ! videoconvert",
    "rtsp_hardware": RTSP + " ! rtph264depay ! h264parse ! nvv4l2decoder ! " + FROM_JETSON,
    "v4l2": "v4l2src device={device} ! decodebin ! videoconvert",
}
DEFAULT_DEVICE = {"csi": "0", "v4l2": "/dev/video0"}


def pipeline(request: CameraRequest) -> str:
    """Return the GStreamer pipeline."""
    if "!" in request.pipeline:
        return request.pipeline
    name = request.pipeline or ("rtsp" if "://" in request.device else "csi")
    device = request.device or DEFAULT_DEVICE.get(name, "")
    if name not in PIPELINES:
        names = ", ".join(PIPELINES)
        raise ValueError(
            f"pipeline: found '{without_password(name)}', expected {names}, "
            "or a GStreamer pipeline (elements with !)"
        )
    if not device:
        raise ValueError(
            f"device: pipeline:={name} needs the address of a stream, e.g. device:=rtsp://10.0.0.8/stream"
        )
    width, height = request.size or CSI_SIZE
    rate = round(request.fps or CSI_RATE)
    return PIPELINES[name].format(device=device, width=width, height=height, rate=rate)


def parameters(request: CameraRequest) -> dict[str, object]:
    """Return the driver's parameters."""
    return {
        "gscam_config": pipeline(request),
        "sync_sink": False,  # publish without waiting for the pipeline clock
        "reopen_on_eof": True,
        "camera_info_url": request.calibration_url,
    }


DRIVER = Driver(
    package="gscam",
    executable="gscam_node",
    takes=("device", "pipeline", "frame_id", "calibration"),
    parameters=parameters,
    images=("camera/image_raw",),
    infos=("camera/camera_info",),
)
CSI_DRIVER = Driver(**{**vars(DRIVER), "takes": (*DRIVER.takes, "width", "height", "fps")})


def start(request: CameraRequest) -> list[LaunchDescriptionEntity]:
    """Return the driver's node; only the CSI pipeline takes width, height and fps."""
    csi = request.pipeline == "csi" or (not request.pipeline and "://" not in request.device)
    return (CSI_DRIVER if csi else DRIVER).start(request)


def generate_launch_description() -> LaunchDescription:
    """Return the launch description."""
    return describe_camera(start)
