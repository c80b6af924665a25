"""Table of the detector node's parameters; docs/parameters.md and the descriptors are made of it."""

from __future__ import annotations

from trt_ssd_ros.engines.backend import BACKENDS
from trt_ssd_ros.engines.card_plans import PRECISIONS
from trt_ssd_ros.models.card import MAX_CANDIDATES
from trt_ssd_ros.models.shipped import DEFAULT_MODEL
from trt_ssd_ros.node.diagnostics import LIMIT_PARAMETERS
from trt_ssd_ros.node.image_input import RELIABILITIES, TRANSPORTS
from trt_ssd_ros.node.messages import CLASS_ID_FORMATS
from trt_ssd_ros.ros.parameters import Kind, ParameterSpec

_OPENED = "the engine is opened with it when the node starts"
_BUILT = "the plan is built with it when the node starts"
_CARD = "the model card's"

MODEL = ParameterSpec(
    "model",
    Kind.STRING,
    DEFAULT_MODEL,
    "Name of a shipped model card, or the path of one (YAML)",
    fixed=_OPENED,
)

ENGINE = (
    ParameterSpec(
        "backend",
        Kind.STRING,
        BACKENDS[0],
        "What runs the network; auto: tensorrt where it is installed and a GPU answers, else onnxruntime",
        choices=BACKENDS,
        fixed=_OPENED,
    ),
    ParameterSpec(
        "precision",
        Kind.STRING,
        PRECISIONS[0],
        "What TensorRT computes the network in; auto: fp16 where it is faster and finds the same",
        choices=PRECISIONS,
        fixed=_BUILT,
    ),
    ParameterSpec(
        "max_image_side",
        Kind.INTEGER,
        4096,
        "Most pixels of an image's height and width for TensorRT; with a roi, of the roi's",
        lowest=64,
        highest=16384,
        fixed=_BUILT,
    ),
    ParameterSpec(
        "workspace_mib",
        Kind.INTEGER,
        1024,
        "Most scratch memory for a TensorRT layer, in MiB",
        lowest=1,
        highest=65536,
        fixed=_BUILT,
    ),
    ParameterSpec(
        "optimization_level",
        Kind.INTEGER,
        -1,
        "TensorRT's builder optimization level, 0 (fast to build) to 5 (thorough); -1: TensorRT's default",
        lowest=-1,
        highest=5,
        fixed=_BUILT,
    ),
    ParameterSpec(
        "dla_core",
        Kind.INTEGER,
        -1,
        "Deep learning accelerator (Jetson) to run the network; -1: GPU",
        lowest=-1,
        highest=7,
        fixed=_BUILT,
    ),
)

AUTOSTART = ParameterSpec(
    "autostart",
    Kind.BOOL,
    True,
    "Configure and activate by itself; false: leave it to a lifecycle manager",
    fixed="it is looked at when the node starts",
)
IMAGE_TRANSPORT = ParameterSpec(
    "image_transport",
    Kind.STRING,
    TRANSPORTS[0],
    "How the images come; compressed: sensor_msgs/CompressedImage (JPEG or PNG) on image/compressed",
    choices=TRANSPORTS,
    fixed="the node subscribes with it",
)
IMAGE_RELIABILITY = ParameterSpec(
    "image_reliability",
    Kind.STRING,
    RELIABILITIES[0],
    "Reliability of the image subscription; auto: reliable while every publisher offers it, else best effort",
    choices=RELIABILITIES,
    fixed="the node subscribes with it",
)
ANNOTATIONS = ParameterSpec(
    "annotations",
    Kind.BOOL,
    False,
    "Publish annotations (foxglove_msgs/ImageAnnotations) while somebody subscribes to it; needs foxglove_msgs",
    fixed="the publisher is made when the node starts",
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
    "score_threshold", Kind.DOUBLE, None, "Lowest score reported", 0.0, 1.0, default_is=_CARD
)
IOU_THRESHOLD = ParameterSpec(
    "iou_threshold",
    Kind.DOUBLE,
    None,
    "Of two boxes of a class that overlap (IoU) by more than this, the lesser is dropped",
    0.0,
    1.0,
    default_is=_CARD,
)
MAX_DETECTIONS = ParameterSpec(
    "max_detections",
    Kind.INTEGER,
    None,
    "Most boxes reported for an image; up to the card's candidates (400 unless it says otherwise)",
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
        "Lowest scores of single classes in place of score_threshold, each as Name=0.5 (or Name: 0.5)",
    ),
    ParameterSpec(
        "include_classes", Kind.STRING_ARRAY, [], "Names of the only classes reported; an empty list: all classes"
    ),
    ParameterSpec(
        "exclude_classes", Kind.STRING_ARRAY, [], "Names of classes that are not reported, even if included"
    ),
    IOU_THRESHOLD,
    MAX_DETECTIONS,
    ParameterSpec(
        "roi",
        Kind.DOUBLE_ARRAY,
        [0.0, 0.0, 1.0, 1.0],
        "Part of the image that is looked at: x, y, width, height. All at most 1: fractions of the image; "
        "else whole pixels, of which those outside of the image are cut off. Boxes stay in pixels of the whole "
        "image; an image of which nothing is left is refused",
    ),
    ParameterSpec(
        "max_rate", Kind.DOUBLE, 0.0, "Most images a second that are looked at, evenly chosen; 0: all", 0.0, 1000.0
    ),
    ParameterSpec(
        "max_input_age",
        Kind.DOUBLE,
        0.0,
        "Seconds since an image's stamp, on the node's clock, from which on it is dropped as too old; 0: any age. "
        "An image without a stamp (0) has no age",
        0.0,
        3600.0,
    ),
    ParameterSpec(
        "class_id_format",
        Kind.STRING,
        CLASS_ID_FORMATS[0],
        "What class_id carries in the detections: the label's name, or its id in label_info",
        choices=CLASS_ID_FORMATS,
    ),
    ParameterSpec("debug_image", Kind.BOOL, True, "Publish debug_image while somebody subscribes to it"),
    ParameterSpec(
        "debug_line_width",
        Kind.INTEGER,
        0,
        "Pixels of a box's line in debug_image; 0: in proportion to the image",
        lowest=0,
        highest=100,
    ),
    ParameterSpec("debug_labels", Kind.BOOL, True, "Write name and score at the boxes in debug_image"),
    ParameterSpec("debug_timing", Kind.BOOL, False, "Write latency and rate into a corner of debug_image"),
)

DETECTOR_NODE = (
    *(MODEL, *ENGINE, AUTOSTART, IMAGE_TRANSPORT, IMAGE_RELIABILITY, ANNOTATIONS),
    *(*DETECTION, INPUT_TIMEOUT, *LIMIT_PARAMETERS),
)
