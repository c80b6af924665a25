"""Table of the detector node's parameters, the source of docs/parameters.md and of the descriptors."""

from __future__ import annotations

from trt_ssd_ros.detection.views import MAX_OVERLAP
from trt_ssd_ros.engines.backend import BACKENDS, MAX_CPU_THREADS, MAX_GPU, RESIZE_CHOICES, EngineChoice
from trt_ssd_ros.engines.card_plans import PRECISIONS
from trt_ssd_ros.engines.cuda import WAITS
from trt_ssd_ros.engines.remote_server import (
    FALLBACKS,
    MAX_TIMEOUT,
    MIN_TIMEOUT,
    TOKEN_VARIABLE,
    RemoteOptions,
)
from trt_ssd_ros.images.compressed import JPEG_QUALITY
from trt_ssd_ros.models.card import MAX_CANDIDATES
from trt_ssd_ros.models.shipped import DEFAULT_MODEL
from trt_ssd_ros.node.diagnostics import LIMIT_PARAMETERS
from trt_ssd_ros.node.image_input import RELIABILITIES, TRANSPORTS
from trt_ssd_ros.node.messages import CLASS_ID_FORMATS
from trt_ssd_ros.ros.parameters import Kind, ParameterSpec
from trt_ssd_ros.tracking.settings import TrackerSettings

_OPENED = "the node opens the engine with it at the start"
_BUILT = "the node builds the plan with it at the start"
_CARD = "the model card's"
TRACKER = TrackerSettings((0.5,))
"""Defaults of the tracker."""
REMOTE = RemoteOptions()
"""Defaults of a server."""

MODEL = ParameterSpec(
    "model",
    Kind.STRING,
    DEFAULT_MODEL,
    "Name of a shipped model card, or path of a model card (YAML)",
    fixed=_OPENED,
)

ENGINE = (
    ParameterSpec(
        "backend",
        Kind.STRING,
        BACKENDS[0],
        "Inference backend; auto: tensorrt if it is installed and a GPU responds, else onnxruntime; remote: a "
        "server (docs/fleet.md)",
        choices=BACKENDS,
        fixed=_OPENED,
    ),
    ParameterSpec(
        "precision",
        Kind.STRING,
        PRECISIONS[0],
        "Precision of TensorRT; auto: fp16 if it is faster and finds what fp32 finds, else fp32",
        choices=PRECISIONS,
        fixed=_BUILT,
    ),
    ParameterSpec(
        "max_image_side",
        Kind.INTEGER,
        4096,
        "Largest height and width of an image in pixels for TensorRT; with a roi, of the roi",
        lowest=64,
        highest=16384,
        fixed=_BUILT,
    ),
    ParameterSpec(
        "workspace_mib",
        Kind.INTEGER,
        1024,
        "Largest scratch memory of a TensorRT layer in MiB",
        lowest=1,
        highest=65536,
        fixed=_BUILT,
    ),
    ParameterSpec(
        "optimization_level",
        Kind.INTEGER,
        -1,
        "Builder optimization level of TensorRT, 0 (fast build) to 5 (thorough); -1: TensorRT's default",
        lowest=-1,
        highest=5,
        fixed=_BUILT,
    ),
    ParameterSpec(
        "dla_core",
        Kind.INTEGER,
        -1,
        "Number of the deep learning accelerator (DLA, on Jetson) that runs the network; -1: GPU",
        lowest=-1,
        highest=7,
        fixed=_BUILT,
    ),
    ParameterSpec(
        "gpu",
        Kind.INTEGER,
        0,
        "Number of the GPU that runs TensorRT, as the doctor lists them; onnxruntime ignores it",
        lowest=0,
        highest=MAX_GPU,
        fixed=_OPENED,
    ),
    ParameterSpec(
        "gpu_wait",
        Kind.STRING,
        EngineChoice.gpu_wait,
        "How the inference thread waits for the GPU; block: asleep; spin: on a core, with 0.1 ms less latency and "
        "more processor time",
        choices=WAITS,
        fixed=_OPENED,
    ),
    ParameterSpec(
        "cpu_threads",
        Kind.INTEGER,
        0,
        "Number of CPU threads of ONNX Runtime, and of OpenCV in the node; 0: all cores, but at most four for "
        "OpenCV with TensorRT",
        lowest=0,
        highest=MAX_CPU_THREADS,
        fixed=_OPENED,
    ),
    ParameterSpec(
        "resize_on",
        Kind.STRING,
        RESIZE_CHOICES[0],
        "Where images are resized to the network's input; host: CPU; engine: graph, but tiles and regions on the "
        "host; auto: host with onnxruntime, tiles or regions at the start, else engine with tensorrt",
        choices=RESIZE_CHOICES,
        fixed=_OPENED,
    ),
    ParameterSpec(
        "remote_url",
        Kind.STRING,
        REMOTE.url,
        "Address of the server of the backend remote, http or https, as in http://gpu-server:8000",
        fixed=_OPENED,
    ),
    ParameterSpec(
        "remote_model",
        Kind.STRING,
        REMOTE.model,
        "Name of the model on the server; empty: name of the model card",
        fixed=_OPENED,
    ),
    ParameterSpec(
        "remote_token_file",
        Kind.STRING,
        REMOTE.token_file,
        f"File with the token that the server expects; empty: environment variable {TOKEN_VARIABLE}, or no token",
        fixed=_OPENED,
    ),
    ParameterSpec(
        "remote_ca_file",
        Kind.STRING,
        REMOTE.ca_file,
        "File with the certificates (PEM) that signed the server's; empty: those of the system",
        fixed=_OPENED,
    ),
    ParameterSpec(
        "remote_timeout",
        Kind.DOUBLE,
        REMOTE.timeout,
        "Deadline in seconds of a request to the server; after it, the node leaves the server",
        MIN_TIMEOUT,
        MAX_TIMEOUT,
        fixed=_OPENED,
    ),
    ParameterSpec(
        "remote_fallback",
        Kind.STRING,
        REMOTE.fallback,
        "Engine that runs while the server does not answer; none: images are refused meanwhile",
        choices=FALLBACKS,
        fixed=_OPENED,
    ),
)

AUTOSTART = ParameterSpec(
    "autostart",
    Kind.BOOL,
    True,
    "Configure and activate at the start; false: a lifecycle manager starts the transitions",
    fixed="the node reads it at the start",
)
CAMERAS = ParameterSpec(
    "cameras",
    Kind.STRING_ARRAY,
    [],
    "Names of the cameras, whose topics begin with them (front/image, front/detections, ...); an empty list: one "
    "camera without a name. Each camera has its own live parameters, e.g. front.roi; while one is not set, the "
    "camera follows the node's, e.g. roi",
    fixed="the node creates its subscriptions with it",
)
IMAGE_TRANSPORT = ParameterSpec(
    "image_transport",
    Kind.STRING,
    TRANSPORTS[0],
    "Image transport; raw: sensor_msgs/Image on image; compressed: sensor_msgs/CompressedImage (JPEG or PNG) on "
    "image/compressed",
    choices=TRANSPORTS,
    fixed="the node creates its subscription with it",
)
IMAGE_RELIABILITY = ParameterSpec(
    "image_reliability",
    Kind.STRING,
    RELIABILITIES[0],
    "Reliability of the image subscription; auto: reliable while every publisher offers it, else best effort",
    choices=RELIABILITIES,
    fixed="the node creates its subscription with it",
)
ANNOTATIONS = ParameterSpec(
    "annotations",
    Kind.BOOL,
    False,
    "Publish annotations (foxglove_msgs/ImageAnnotations) while it has a subscriber; needs foxglove_msgs",
    fixed="the node creates the publisher at the start",
)
INPUT_TIMEOUT = ParameterSpec(
    "input_timeout",
    Kind.DOUBLE,
    5.0,
    "Seconds without a readable image after which the node looks for the cause; 0: never",
    0.0,
    3600.0,
)

SCORE_THRESHOLD = ParameterSpec(
    "score_threshold", Kind.DOUBLE, None, "Lowest reported score", 0.0, 1.0, default_is=_CARD
)
IOU_THRESHOLD = ParameterSpec(
    "iou_threshold",
    Kind.DOUBLE,
    None,
    "IoU of two boxes of a class above which non-maximum suppression drops the one with the lower score",
    0.0,
    1.0,
    default_is=_CARD,
)
MAX_DETECTIONS = ParameterSpec(
    "max_detections",
    Kind.INTEGER,
    None,
    "Largest number of detections per image; at most the card's candidates (400 by default)",
    lowest=1,
    highest=MAX_CANDIDATES,
    default_is=_CARD,
)

DETECTION = (
    SCORE_THRESHOLD,
    ParameterSpec(
        "class_thresholds",
        Kind.STRING_ARRAY,
        [],
        "Lowest reported scores of single classes, instead of score_threshold; each as Name=0.5 or Name: 0.5",
    ),
    ParameterSpec(
        "include_classes", Kind.STRING_ARRAY, [], "Names of the only reported classes; an empty list: all classes"
    ),
    ParameterSpec(
        "exclude_classes",
        Kind.STRING_ARRAY,
        [],
        "Names of classes that are not reported, even if include_classes has them",
    ),
    IOU_THRESHOLD,
    MAX_DETECTIONS,
    ParameterSpec(
        "roi",
        Kind.DOUBLE_ARRAY,
        [0.0, 0.0, 1.0, 1.0],
        "Region of interest: x, y, width, height. If all are at most 1, they are fractions of the image; else "
        "they are whole pixels, and the part outside the image is cut off. If nothing is left, the image is "
        "refused. Boxes stay in pixels of the whole image",
    ),
    ParameterSpec(
        "tiles",
        Kind.INTEGER_ARRAY,
        [1, 1],
        "Columns and rows of equal tiles of the roi. The network sees each tile in its full resolution and finds "
        "smaller objects; the time grows with the number of tiles. Boxes are merged, in pixels of the image",
    ),
    ParameterSpec(
        "tile_overlap",
        Kind.DOUBLE,
        0.2,
        "Overlap of neighbouring tiles, as a share of a tile; objects up to this size are whole in one tile",
        0.0,
        MAX_OVERLAP,
    ),
    ParameterSpec(
        "regions",
        Kind.STRING_ARRAY,
        [],
        "Parts of the roi that the network sees like tiles, each as name=x,y,width,height in the units of roi, as "
        "in gate=0.1,0.2,0.3,0.4; instead of tiles",
    ),
    ParameterSpec("whole_view", Kind.BOOL, True, "See the whole roi as well as its tiles or regions"),
    ParameterSpec(
        "tracking",
        Kind.BOOL,
        False,
        "Give the detections of an object in consecutive images one id (docs/objects.md); needs SciPy",
    ),
    ParameterSpec(
        "track_low_threshold",
        Kind.DOUBLE,
        TRACKER.low_threshold,
        "Lowest score that continues the track of an object with an id",
        0.0,
        1.0,
    ),
    ParameterSpec(
        "track_max_gap",
        Kind.DOUBLE,
        TRACKER.max_gap,
        "Longest time in seconds between two detections of an object; after it, the object gets another id",
        0.0,
        TRACKER.max_jump,
    ),
    ParameterSpec(
        "track_confirm_after",
        Kind.INTEGER,
        TRACKER.confirm_after,
        "Number of images in a row with an object until it gets an id",
        lowest=1,
        highest=1000,
    ),
    ParameterSpec(
        "track_match_iou",
        Kind.DOUBLE,
        TRACKER.match_iou,
        "Least intersection over union of an object's predicted and detected box",
        0.0,
        1.0,
    ),
    ParameterSpec(
        "track_low_match_iou",
        Kind.DOUBLE,
        TRACKER.low_match_iou,
        "Least intersection over union of an object's predicted and detected box, for scores below the threshold",
        0.0,
        1.0,
    ),
    ParameterSpec(
        "lazy",
        Kind.BOOL,
        False,
        "Subscribe to the camera only while detections, debug_image, preview or annotations has a subscriber",
    ),
    ParameterSpec(
        "max_rate",
        Kind.DOUBLE,
        0.0,
        "Largest rate of processed images in Hz, evenly spaced; 0: no limit",
        0.0,
        1000.0,
    ),
    ParameterSpec(
        "max_input_age",
        Kind.DOUBLE,
        0.0,
        "Largest age of an image in seconds since its stamp, on the node's clock; older images are dropped; "
        "0: no limit. An image without a stamp (0) has no age",
        0.0,
        3600.0,
    ),
    ParameterSpec(
        "class_id_format",
        Kind.STRING,
        CLASS_ID_FORMATS[0],
        "Content of class_id in the detections; name: name of the label; id: id of the label in label_info",
        choices=CLASS_ID_FORMATS,
    ),
    ParameterSpec("debug_image", Kind.BOOL, True, "Publish debug_image while it has a subscriber"),
    ParameterSpec(
        "debug_line_width",
        Kind.INTEGER,
        0,
        "Line width of boxes in debug_image in pixels; 0: in proportion to the image",
        lowest=0,
        highest=100,
    ),
    ParameterSpec("debug_labels", Kind.BOOL, True, "Write class name and score at each box in debug_image"),
    ParameterSpec(
        "debug_timing", Kind.BOOL, False, "Write latency (ms) and rate (Hz) into a corner of debug_image"
    ),
    ParameterSpec(
        "preview_width",
        Kind.INTEGER,
        960,
        "Largest width of the pictures of preview/compressed in pixels",
        lowest=32,
        highest=8192,
    ),
    ParameterSpec(
        "preview_rate",
        Kind.DOUBLE,
        15.0,
        "Largest rate of the pictures of preview/compressed in Hz, evenly spaced; 0: no limit",
        0.0,
        1000.0,
    ),
    ParameterSpec(
        "preview_quality",
        Kind.INTEGER,
        JPEG_QUALITY,
        "JPEG quality of the pictures of preview/compressed",
        lowest=1,
        highest=100,
    ),
)

DETECTOR_NODE = (
    *(MODEL, *ENGINE, AUTOSTART, CAMERAS, IMAGE_TRANSPORT, IMAGE_RELIABILITY, ANNOTATIONS),
    *(*DETECTION, INPUT_TIMEOUT, *LIMIT_PARAMETERS),
)
